//! Measures a container while it runs, by sampling its control group: the group is gone once the
//! container has ended.

use std::path::Path;

use crate::host::cgroup::{CgroupOwner, Cgroups};
use crate::host::usage::ResourceUsage;

/// Samples the control groups of one container.
#[derive(Debug)]
pub struct ContainerMeter {
    groups: Cgroups,
    /// Peak memory, in bytes.
    memory: u64,
    /// Time and processor time of the first sample, in seconds.
    first: Option<(f64, f64)>,
    /// The same of the last sample.
    last: Option<(f64, f64)>,
}

impl ContainerMeter {
    /// A meter for the container of process `pid`; none unless the process is in a control group of
    /// its own that counts memory and processor time.
    #[must_use]
    pub fn of(root: &Path, pid: u32) -> Option<ContainerMeter> {
        let groups = Cgroups::of(root, CgroupOwner::Process(pid));
        let own = Cgroups::of(root, CgroupOwner::This);
        let usage = groups.usage();
        let measurable = usage.memory.is_some() && usage.cpu_seconds.is_some();
        (measurable && groups != own && !groups.is_root()).then_some(ContainerMeter {
            groups,
            memory: 0,
            first: None,
            last: None,
        })
    }

    /// Takes a sample at time `at`, in seconds of any monotonic clock. Returns false once the
    /// container has ended.
    pub fn sample(&mut self, at: f64) -> bool {
        let usage = self.groups.usage();
        self.memory = self.memory.max(usage.memory.unwrap_or(0));
        let Some(cpu) = usage.cpu_seconds else {
            return false;
        };
        self.first.get_or_insert((at, cpu));
        self.last = Some((at, cpu));
        true
    }

    /// The usage that the samples show; none before there are two samples at different times.
    #[must_use]
    pub fn usage(&self) -> Option<ResourceUsage> {
        let ((from, before), (to, after)) = (self.first?, self.last?);
        (to > from).then_some(ResourceUsage {
            memory: self.memory,
            cpu_seconds: (after - before).max(0.0),
            seconds: to - from,
        })
    }
}
