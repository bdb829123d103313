//! Capture slots: how many files one run reads at the same time, over all variants.
//!
//! Each capture reads a whole file and often writes it too; more than a few at once evict each other from the page
//! cache. A slot holder never waits for another slot (gates and registration take none), so slots cannot deadlock.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The capture slots of a run; clones share them. First come, first served.
#[derive(Debug, Clone)]
pub struct CaptureSlots(Arc<Semaphore>);

impl CaptureSlots {
    /// This many slots, at least one.
    #[must_use]
    pub fn of(count: usize) -> CaptureSlots {
        CaptureSlots(Arc::new(Semaphore::new(count.max(1))))
    }

    /// Two to four slots for a machine with this many cores. One file keeps two cores busy: this process hashes it and
    /// Nix writes it.
    #[must_use]
    pub fn for_cores(cores: u32) -> CaptureSlots {
        CaptureSlots::of(cores.clamp(2, 4) as usize)
    }

    /// Waits for a slot, held until the permit is dropped.
    pub(crate) async fn take(self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed, so there is always a permit in the end.
        self.0.acquire_owned().await.ok()
    }
}

impl Default for CaptureSlots {
    fn default() -> CaptureSlots {
        CaptureSlots::for_cores(4)
    }
}
