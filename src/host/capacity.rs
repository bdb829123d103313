//! The capacity of the host for builds: processor cores, memory, memory pressure. Read from `/proc`
//! and `/sys`.
//!
//! Limits of this process's control groups apply, in both versions of the interface.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::cgroup::{CgroupOwner, Cgroups};

/// Least memory that is kept free for other processes, in bytes.
const LEAST_RESERVE: u64 = 512 << 20;
/// One part in this many of all memory is kept free, where that is more than [`LEAST_RESERVE`].
const RESERVE_PART: u64 = 20;

/// The capacity of the host for this process and its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCapacity {
    /// The directory that contains `proc` and `sys`: `/`, or another one in tests.
    root: PathBuf,
    /// The control groups of this process.
    groups: Cgroups,
    /// Processor cores, in hundredths; at least 1, and one core where the number is unknown.
    pub cpu: u32,
    /// Memory that is free or can be freed, less the reserve, in bytes; none where it is unknown.
    pub memory: Option<u64>,
    /// Messages: what is unknown, and what follows from it.
    pub unknown: Vec<String>,
}

impl HostCapacity {
    /// Reads `proc` and `sys` below `root`.
    #[must_use]
    pub fn capture(root: &Path) -> HostCapacity {
        let groups = Cgroups::of(root, CgroupOwner::This);
        let mut unknown = Vec::new();
        let cores = cores(root).unwrap_or_else(|| {
            unknown.push("the number of processor cores is unknown: one is assumed".to_owned());
            1
        });
        let whole = u32::try_from(cores).unwrap_or(10_000).saturating_mul(100);
        let cpu = groups.cpu_limit().map_or(whole, |limit| limit.min(whole));
        let memory = memory(root, &groups);
        if memory.is_none() {
            unknown.push("available memory is unknown: it does not limit builds".to_owned());
        }
        HostCapacity {
            root: root.to_owned(),
            groups,
            cpu: cpu.max(1),
            memory,
            unknown,
        }
    }

    /// Whole cores, at least one.
    #[must_use]
    pub fn cores(&self) -> u32 {
        (self.cpu / 100).max(1)
    }

    /// Percentage of the last ten seconds in which some process waited for memory, on the whole
    /// machine or in this process's control group, whichever is higher; none where the kernel does
    /// not report it.
    #[must_use]
    pub fn memory_pressure(&self) -> Option<f32> {
        crate::host::pressure::memory(&self.root, self.groups.unified())
    }

    /// The directory that contains `proc` and `sys`.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// The number of online cores (`/sys/devices/system/cpu/online`), or of those that this process may
/// run on (`Cpus_allowed_list` in proc_pid_status(5), which reflects affinity and cpusets),
/// whichever is lower.
fn cores(root: &Path) -> Option<usize> {
    let online = fs::read_to_string(root.join("sys/devices/system/cpu/online")).ok();
    let status = fs::read_to_string(root.join("proc/self/status")).ok();
    let allowed = status.as_deref().and_then(|text| {
        text.lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
    });
    let counts = [online.as_deref(), allowed].map(|list| list.and_then(count_cores));
    counts.into_iter().flatten().min()
}

/// The number of cores in a list such as `0-3,8` (the kernel's `cputopology.rst`).
fn count_cores(list: &str) -> Option<usize> {
    let mut count = 0;
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        count += (last + 1).checked_sub(first)?;
    }
    Some(count)
}

/// Memory available without swapping (`MemAvailable` in proc_meminfo(5)), or what the control
/// groups leave, whichever is lower; less the reserve.
fn memory(root: &Path, groups: &Cgroups) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok();
    let field = |name: &str| -> Option<u64> {
        let line = text
            .as_deref()?
            .lines()
            .find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib << 10)
    };
    let total = field("MemTotal:");
    let reserve = (total.unwrap_or(0) / RESERVE_PART).max(LEAST_RESERVE);
    let of_host = field("MemAvailable:");
    let of_groups = groups.memory_left(total.unwrap_or(u64::MAX));
    let least = of_host.into_iter().chain(of_groups).min()?;
    Some(least.saturating_sub(reserve))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted_from_ranges() {
        assert_eq!(count_cores("0\n"), Some(1));
        assert_eq!(count_cores("0-3,8,10-11\n"), Some(7));
        assert_eq!(count_cores("\n"), None);
        assert_eq!(count_cores("3-1\n"), None);
    }
}
