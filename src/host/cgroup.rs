//! Control groups of a process: their limits and their usage.
//!
//! Reads versions 1 and 2 of the interface, also mounted side by side (the kernel's `cgroup-v1/` and
//! `cgroup-v2.rst`). The limits of all parent groups apply too.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::mountinfo;
use crate::host::mountinfo::Mount;

/// The process whose control groups are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupOwner {
    /// This process.
    This,
    /// The process with this number.
    Process(u32),
}

/// The directory of a control group in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CgroupDir {
    /// The mount point of the hierarchy.
    top: PathBuf,
    /// The group's directory, at or below `top`.
    dir: PathBuf,
    /// Whether the hierarchy is of version 2.
    pub(crate) unified: bool,
}

impl CgroupDir {
    /// The group and its parents, up to the mount point.
    pub(crate) fn upwards(&self) -> impl Iterator<Item = &Path> {
        self.dir
            .ancestors()
            .take_while(|dir| dir.starts_with(&self.top))
    }
}

/// The control groups of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cgroups {
    memory: Vec<CgroupDir>,
    cpu: Vec<CgroupDir>,
    cpuacct: Vec<CgroupDir>,
}

/// Resources that a control group has used.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CgroupUsage {
    /// Memory in bytes, without what the kernel can reclaim at once: page cache and reclaimable
    /// slab.
    pub memory: Option<u64>,
    /// Processor time since the group was created, in seconds.
    pub cpu_seconds: Option<f64>,
}

impl Cgroups {
    /// The control groups of `owner`, according to `proc` and `sys` below `root`. Groups that
    /// cannot be found are left out.
    #[must_use]
    pub fn of(root: &Path, owner: CgroupOwner) -> Cgroups {
        let mut groups = Cgroups::default();
        for (controllers, group) in cgroup_dirs(root, owner) {
            for (name, list) in [
                ("memory", &mut groups.memory),
                ("cpu", &mut groups.cpu),
                ("cpuacct", &mut groups.cpuacct),
            ] {
                if group.unified || controllers.iter().any(|controller| controller == name) {
                    list.push(group.clone());
                }
            }
        }
        groups
    }

    /// The group's directory in the version 2 hierarchy.
    pub(crate) fn unified(&self) -> Option<&Path> {
        let group = self.memory.iter().find(|group| group.unified)?;
        Some(&group.dir)
    }

    /// The lowest CPU limit of the group and its parents, in hundredths of a core; none without a
    /// limit.
    #[must_use]
    pub fn cpu_limit(&self) -> Option<u32> {
        self.cpu
            .iter()
            .flat_map(|group| group.upwards().filter_map(|dir| quota(dir, group.unified)))
            .min()
    }

    /// Bytes of memory left under the tightest limit of the group and its parents; none where no
    /// limit is below `total`.
    pub(crate) fn memory_left(&self, total: u64) -> Option<u64> {
        self.memory
            .iter()
            .flat_map(|group| group.upwards().map(|dir| (dir, group.unified)))
            .filter_map(|(dir, unified)| {
                let limit = memory_limit(dir, unified).filter(|limit| *limit < total)?;
                Some(limit.saturating_sub(memory_used(dir, unified).unwrap_or(0)))
            })
            .min()
    }

    /// The group's usage now.
    #[must_use]
    pub fn usage(&self) -> CgroupUsage {
        CgroupUsage {
            memory: self
                .memory
                .iter()
                .find_map(|group| memory_used(&group.dir, group.unified)),
            cpu_seconds: self
                .cpuacct
                .iter()
                .find_map(|group| cpu_used(&group.dir, group.unified)),
        }
    }

    /// Whether these are the root groups, which count every process of the machine.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.memory
            .iter()
            .chain(&self.cpuacct)
            .all(|group| group.dir == group.top)
    }
}

/// The process's group in each mounted hierarchy, with the controllers of the hierarchy; version 2
/// lists none.
pub(crate) fn cgroup_dirs(root: &Path, owner: CgroupOwner) -> Vec<(Vec<String>, CgroupDir)> {
    let of_this = |file: &str| fs::read(root.join("proc/self").join(file));
    let mounts = of_this("mountinfo")
        .ok()
        .and_then(|text| mountinfo::parse(&text).ok());
    let paths = match owner {
        CgroupOwner::This => of_this("cgroup").ok(),
        CgroupOwner::Process(pid) => fs::read(root.join(format!("proc/{pid}/cgroup"))).ok(),
    };
    let (Some(mounts), Some(paths)) = (mounts, paths) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&paths).lines() {
        // hierarchy:controllers:path (cgroups(7)). Version 2 has hierarchy 0 and no controllers.
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let unified = number == "0" && controllers.is_empty();
        let controllers: Vec<String> = controllers.split(',').map(str::to_owned).collect();
        let is_hierarchy = |mount: &&Mount| match unified {
            true => mount.fs_type == "cgroup2",
            false => {
                mount.fs_type == "cgroup"
                    && mount
                        .super_options
                        .iter()
                        .any(|option| controllers.contains(option))
            }
        };
        let group = mounts
            .iter()
            .filter(is_hierarchy)
            .find_map(|mount| cgroup_dir(root, mount, path, unified));
        found.extend(group.map(|group| (controllers, group)));
    }
    found
}

/// The directory of the group with this path in the hierarchy that is mounted by `mount`. The mount
/// can show a part of the hierarchy only (its `root`). In a container the path can be one that the
/// mount does not show; then the mount's own root is the container's group.
fn cgroup_dir(root: &Path, mount: &Mount, path: &str, unified: bool) -> Option<CgroupDir> {
    let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let top = below(&mount.point);
    if !top.is_dir() {
        return None;
    }
    let path = Path::new(path);
    let inside = path
        .strip_prefix(&mount.root)
        .or_else(|_| path.strip_prefix("/"))
        .unwrap_or(path);
    let climbs = inside.components().any(|part| part.as_os_str() == "..");
    let dir = top.join(inside);
    let dir = match dir.is_dir() && !climbs {
        true => dir,
        false => top.clone(),
    };
    Some(CgroupDir { top, dir, unified })
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The value of `name` in a file with one `name value` pair per line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, number) = line.split_once(' ')?;
        (found == name).then(|| number.trim().parse().ok())?
    })
}

fn memory_limit(dir: &Path, unified: bool) -> Option<u64> {
    if unified {
        // Above `memory.high` the kernel throttles a group so hard that it makes no progress. `max`
        // does not parse as a number.
        let limits = ["memory.max", "memory.high"].map(|file| number(&dir.join(file)));
        return limits.into_iter().flatten().min();
    }
    number(&dir.join("memory.limit_in_bytes"))
}

/// Memory used, without what the kernel can reclaim. The kernel's own peaks (`memory.peak`,
/// `memory.max_usage_in_bytes`) include page cache, which grows until it fills the machine, so they
/// say nothing about a build.
fn memory_used(dir: &Path, unified: bool) -> Option<u64> {
    let (usage, names): (_, &[&str]) = match unified {
        true => (
            "memory.current",
            &["inactive_file", "active_file", "slab_reclaimable"],
        ),
        false => (
            "memory.usage_in_bytes",
            &["total_inactive_file", "total_active_file"],
        ),
    };
    let used = number(&dir.join(usage))?;
    let stat = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
    let back: u64 = names.iter().filter_map(|name| field(&stat, name)).sum();
    Some(used.saturating_sub(back))
}

fn cpu_used(dir: &Path, unified: bool) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds need no more than 52 bits"
    )]
    let seconds = |number: u64, unit: f64| number as f64 / unit;
    if unified {
        let stat = fs::read_to_string(dir.join("cpu.stat")).ok()?;
        return Some(seconds(field(&stat, "usage_usec")?, 1e6));
    }
    Some(seconds(number(&dir.join("cpuacct.usage"))?, 1e9))
}

/// CPU limit in hundredths of a core: quota divided by period.
fn quota(dir: &Path, unified: bool) -> Option<u32> {
    let (quota, period): (u64, u64) = if unified {
        let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        (quota.parse().ok()?, period.parse().ok()?)
    } else {
        // -1 means no quota, and does not parse as an unsigned number.
        (
            number(&dir.join("cpu.cfs_quota_us"))?,
            number(&dir.join("cpu.cfs_period_us"))?,
        )
    };
    let hundredths = quota.saturating_mul(100).checked_div(period)?;
    Some(u32::try_from(hundredths).unwrap_or(u32::MAX).max(1))
}
