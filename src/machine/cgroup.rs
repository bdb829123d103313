//! Control groups: where a process stands in them, what they allow, what they have used.
//!
//! Versions 1 and 2 of the interface, also mounted side by side (the kernel's `cgroup-v1/` and
//! `cgroup-v2.rst`). A limit of any group above counts as well as one's own. Knows nothing of whose
//! processes they are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::mountinfo::{self, Mount};

/// Whose control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pid {
    /// Our own.
    Own,
    /// Another process's.
    Of(u32),
}

/// A group in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Where the hierarchy is mounted.
    top: PathBuf,
    /// The group's directory, at or below it.
    dir: PathBuf,
    /// Whether it is the second version's.
    pub(super) unified: bool,
}

impl Place {
    /// The group and those above it, as far as we can see.
    pub(super) fn upwards(&self) -> impl Iterator<Item = &Path> {
        self.dir
            .ancestors()
            .take_while(|dir| dir.starts_with(&self.top))
    }
}

/// The control groups of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups {
    memory: Vec<Place>,
    cpu: Vec<Place>,
    cpuacct: Vec<Place>,
}

/// What a group has used.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Bytes of memory, less what the kernel could take back at once: pages of files, and what it
    /// keeps of directories.
    pub memory: Option<u64>,
    /// Seconds of processor time so far.
    pub cpu_seconds: Option<f64>,
}

impl Groups {
    /// Those of a process, by the `/proc` and `/sys` below `root`. What cannot be found is left out.
    #[must_use]
    pub fn of(root: &Path, pid: Pid) -> Groups {
        let mut groups = Groups::default();
        for (controllers, place) in places(root, pid) {
            for (name, list) in [
                ("memory", &mut groups.memory),
                ("cpu", &mut groups.cpu),
                ("cpuacct", &mut groups.cpuacct),
            ] {
                if place.unified || controllers.iter().any(|controller| controller == name) {
                    list.push(place.clone());
                }
            }
        }
        groups
    }

    /// Our directory in the second version's hierarchy, where there is one.
    pub(super) fn unified(&self) -> Option<&Path> {
        let place = self.memory.iter().find(|place| place.unified)?;
        Some(&place.dir)
    }

    /// Hundredths of a core that may be used, where that is limited.
    #[must_use]
    pub fn cpu_limit(&self) -> Option<u32> {
        self.cpu
            .iter()
            .flat_map(|place| place.upwards().filter_map(|dir| quota(dir, place.unified)))
            .min()
    }

    /// Bytes that may still be used, where a limit below `total` says so.
    pub(super) fn memory_left(&self, total: u64) -> Option<u64> {
        self.memory
            .iter()
            .flat_map(|place| place.upwards().map(|dir| (dir, place.unified)))
            .filter_map(|(dir, unified)| {
                let limit = memory_limit(dir, unified).filter(|limit| *limit < total)?;
                Some(limit.saturating_sub(memory_used(dir, unified).unwrap_or(0)))
            })
            .min()
    }

    /// What the group has used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            memory: self
                .memory
                .iter()
                .find_map(|place| memory_used(&place.dir, place.unified)),
            cpu_seconds: self
                .cpuacct
                .iter()
                .find_map(|place| cpu_used(&place.dir, place.unified)),
        }
    }

    /// Whether these are the groups of everything: those of a process that stands in no group of its own.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.memory
            .iter()
            .chain(&self.cpuacct)
            .all(|place| place.dir == place.top)
    }
}

/// Where a process stands in each hierarchy that is mounted, with the controllers of that; the second version's
/// names none.
pub(super) fn places(root: &Path, pid: Pid) -> Vec<(Vec<String>, Place)> {
    let own = |file: &str| fs::read(root.join("proc/self").join(file));
    let mounts = own("mountinfo")
        .ok()
        .and_then(|text| mountinfo::parse(&text).ok());
    let paths = match pid {
        Pid::Own => own("cgroup").ok(),
        Pid::Of(pid) => fs::read(root.join(format!("proc/{pid}/cgroup"))).ok(),
    };
    let (Some(mounts), Some(paths)) = (mounts, paths) else {
        return Vec::new();
    };
    let mut places = Vec::new();
    for line in String::from_utf8_lossy(&paths).lines() {
        // hierarchy:controllers:path (cgroups(7)); the second version has number 0 and no controllers.
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let unified = number == "0" && controllers.is_empty();
        let controllers: Vec<String> = controllers.split(',').map(str::to_owned).collect();
        let is_ours = |mount: &&Mount| match unified {
            true => mount.fs_type == "cgroup2",
            false => {
                mount.fs_type == "cgroup"
                    && mount
                        .super_options
                        .iter()
                        .any(|option| controllers.contains(option))
            }
        };
        let place = mounts
            .iter()
            .filter(is_ours)
            .find_map(|mount| place(root, mount, path, unified));
        places.extend(place.map(|place| (controllers, place)));
    }
    places
}

/// Where a group lies that has this path in its hierarchy. The hierarchy may be mounted from a group on
/// (`root` of the mount); and a container may see paths of which it sees no directory, then its own
/// group is what is mounted.
fn place(root: &Path, mount: &Mount, path: &str, unified: bool) -> Option<Place> {
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
    Some(Place { top, dir, unified })
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A field of a file with a name and a number a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, number) = line.split_once(' ')?;
        (found == name).then(|| number.trim().parse().ok())?
    })
}

fn memory_limit(dir: &Path, unified: bool) -> Option<u64> {
    if unified {
        // Above `memory.high` a group is slowed down until it is of no use. `max` is no number.
        let limits = ["memory.max", "memory.high"].map(|file| number(&dir.join(file)));
        return limits.into_iter().flatten().min();
    }
    number(&dir.join("memory.limit_in_bytes"))
}

/// The peaks that the kernel keeps (`memory.peak`, `memory.max_usage_in_bytes`) count the pages of every
/// file that was read, so of a build they say no more than how much memory the machine has.
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

/// Hundredths of a core: quota divided by period.
fn quota(dir: &Path, unified: bool) -> Option<u32> {
    let (quota, period): (u64, u64) = if unified {
        let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        (quota.parse().ok()?, period.parse().ok()?)
    } else {
        // Without a quota it is -1, which is no number here.
        (
            number(&dir.join("cpu.cfs_quota_us"))?,
            number(&dir.join("cpu.cfs_period_us"))?,
        )
    };
    let hundredths = quota.saturating_mul(100).checked_div(period)?;
    Some(u32::try_from(hundredths).unwrap_or(u32::MAX).max(1))
}
