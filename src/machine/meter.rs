//! What a container takes while it runs: looked at now and then, since nobody can ask afterwards.
//!
//! Knows nothing of engines: a process of the container is all it is told.

use std::path::Path;

use super::cgroup::{Groups, Pid};
use crate::model::need::Took;

/// Follows the control group of one container.
#[derive(Debug)]
pub struct Meter {
    groups: Groups,
    memory: u64,
    first: Option<(f64, f64)>,
    last: Option<(f64, f64)>,
}

impl Meter {
    /// That of a process of the container, where it stands in a control group of its own.
    #[must_use]
    pub fn of(root: &Path, pid: u32) -> Option<Meter> {
        let groups = Groups::of(root, Pid::Of(pid));
        let own = Groups::of(root, Pid::Own);
        let usage = groups.usage();
        let measurable = usage.memory.is_some() && usage.cpu_seconds.is_some();
        (measurable && groups != own && !groups.is_root()).then_some(Meter {
            groups,
            memory: 0,
            first: None,
            last: None,
        })
    }

    /// Looks once, `at` so many seconds on any clock that goes on evenly. Answers whether it was there.
    pub fn look(&mut self, at: f64) -> bool {
        let usage = self.groups.usage();
        self.memory = self.memory.max(usage.memory.unwrap_or(0));
        let Some(cpu) = usage.cpu_seconds else {
            return false;
        };
        self.first.get_or_insert((at, cpu));
        self.last = Some((at, cpu));
        true
    }

    /// What it took, once it was looked at over some time.
    #[must_use]
    pub fn took(&self) -> Option<Took> {
        let ((from, before), (to, after)) = (self.first?, self.last?);
        (to > from).then_some(Took {
            memory: self.memory,
            cpu_seconds: (after - before).max(0.0),
            seconds: to - from,
        })
    }
}
