//! Whether the kernel freezes the processes of a container, or will as soon as they can be frozen.
//! The control group records it, in both versions of the interface (the kernel's
//! `freezer-subsystem.rst` and `cgroup-v2.rst`).
//!
//! An engine that gave up waiting for a freeze leaves the request in the control group, and the kernel carries
//! it out later. This file writes nothing, because only root may.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::cgroup::{CgroupDir, CgroupOwner, cgroup_dirs};

/// A file of the kernel that says whether a control group is, or shall be, frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezerFile {
    /// Its path.
    pub path: PathBuf,
    /// Its content while the group runs; written into it, it thaws the group.
    pub thawed: &'static str,
}

/// The freezer files of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freezer(Vec<FreezerFile>);

impl Freezer {
    /// The freezer of the container with engine id `id` and first process `pid`. None where no
    /// control group of the process has the id in its name: the number may then belong to another
    /// machine, as with Docker Desktop.
    #[must_use]
    pub fn of(root: &Path, pid: u32, id: &str) -> Option<Freezer> {
        if id.is_empty() {
            return None;
        }
        let mut found = Vec::new();
        for (controllers, group) in cgroup_dirs(root, CgroupOwner::Process(pid)) {
            let (name, thawed) = match group.unified {
                true => ("cgroup.freeze", "0"),
                false if controllers.iter().any(|name| name == "freezer") => {
                    ("freezer.state", "THAWED")
                }
                false => continue,
            };
            let files = groups_of_container(&group, id)
                .into_iter()
                .map(|dir| dir.join(name))
                .filter(|path| path.is_file());
            found.extend(files.map(|path| FreezerFile { path, thawed }));
        }
        (!found.is_empty()).then_some(Freezer(found))
    }

    /// The files that say that the container is, or shall be, frozen. A control group that is gone
    /// has no processes.
    #[must_use]
    pub fn frozen(&self) -> Vec<FreezerFile> {
        let is_frozen = |file: &&FreezerFile| {
            fs::read_to_string(&file.path).is_ok_and(|state| state.trim() != file.thawed)
        };
        self.0.iter().filter(is_frozen).cloned().collect()
    }
}

/// The container's own control groups: the one that the engine created and freezes, and those below
/// it that the process may have moved into. Groups further up also hold processes of others.
fn groups_of_container<'a>(group: &'a CgroupDir, id: &str) -> Vec<&'a Path> {
    let mut groups: Vec<&Path> = group.upwards().collect();
    let is_named = |dir: &&Path| {
        let name = dir.file_name().unwrap_or_default();
        name.to_string_lossy().contains(id)
    };
    let named = groups.iter().rposition(is_named);
    groups.truncate(named.map_or(0, |last| last + 1));
    groups
}
