//! The machine as builds find it: how many cores, how much memory, how hard it is pressed, and what a
//! container takes of it, or whether it stands still. All read from `/proc` and `/sys`; [`open_files`] alone changes
//! something, a limit of this process.
//!
//! Knows nothing of builds and plans. Control groups are read in both versions, and where they are mixed.

pub mod cgroup;
pub mod freezer;
pub mod meter;
pub mod open_files;
pub mod pressure;

use std::fs;
use std::path::{Path, PathBuf};

use cgroup::{Groups, Pid};

/// What of the memory stays for everything else, in bytes, and as a part of all.
const LEAST_RESERVE: u64 = 512 << 20;
const RESERVE_PART: u64 = 20;

/// What a machine offers to the processes of one control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Where `proc` and `sys` lie: `/`, or elsewhere in tests.
    root: PathBuf,
    /// Our own control groups.
    groups: Groups,
    /// Hundredths of a processor core that may be used; at least one.
    pub cpu: u32,
    /// Bytes that are free or can be freed, less a reserve; none where that cannot be told.
    pub memory: Option<u64>,
    /// What could not be told, for people.
    pub unknown: Vec<String>,
}

impl Machine {
    /// The machine whose `/proc` and `/sys` lie below `root`.
    #[must_use]
    pub fn capture(root: &Path) -> Machine {
        let groups = Groups::of(root, Pid::Own);
        let mut unknown = Vec::new();
        let cores = cores(root).unwrap_or_else(|| {
            unknown.push("the number of processor cores: one is assumed".to_owned());
            1
        });
        let whole = u32::try_from(cores).unwrap_or(10_000).saturating_mul(100);
        let cpu = groups.cpu_limit().map_or(whole, |limit| limit.min(whole));
        let memory = memory(root, &groups);
        if memory.is_none() {
            unknown
                .push("how much memory is available: it does not limit what is built".to_owned());
        }
        Machine {
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

    /// Of the last ten seconds the percentage in which some process waited for memory, on the whole
    /// machine or in our own control group, whichever is more. None where the kernel does not say.
    #[must_use]
    pub fn memory_pressure(&self) -> Option<f32> {
        pressure::memory(&self.root, self.groups.unified())
    }

    /// Where `proc` and `sys` lie.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// The cores that are switched on (`/sys/devices/system/cpu/online`), and of these the ones that we may
/// run on (`Cpus_allowed_list`, proc_pid_status(5), which knows affinity and cpusets).
fn cores(root: &Path) -> Option<usize> {
    let online = fs::read_to_string(root.join("sys/devices/system/cpu/online")).ok();
    let status = fs::read_to_string(root.join("proc/self/status")).ok();
    let allowed = status.as_deref().and_then(|text| {
        text.lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
    });
    let counts = [online.as_deref(), allowed].map(|list| list.and_then(count));
    counts.into_iter().flatten().min()
}

/// How many a list such as `0-3,8` names (`cputopology.rst` of the kernel's documentation).
fn count(list: &str) -> Option<usize> {
    let mut count = 0;
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        count += (last + 1).checked_sub(first)?;
    }
    Some(count)
}

/// What the kernel could give without swapping (`MemAvailable`, proc_meminfo(5)), or less where a
/// control group allows less; a reserve is kept for others.
fn memory(root: &Path, groups: &Groups) -> Option<u64> {
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
mod tests;
