//! Resource usage of a container while it was measured. Pure data: the planner predicts the next
//! build from it.

/// Resources that a container used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResourceUsage {
    /// Peak memory in bytes, without page cache and other memory that the kernel can reclaim.
    pub memory: u64,
    /// Processor time, in seconds.
    pub cpu_seconds: f64,
    /// Wall time over which both were measured, in seconds.
    pub seconds: f64,
}
