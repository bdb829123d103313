//! Whether the kernel keeps the processes of a container standing still, or will as soon as the last of them
//! can: its control group says so, in both versions (the kernel's `freezer-subsystem.rst`, `cgroup-v2.rst`).
//!
//! Who once asked the kernel to freeze a group may have given up waiting long before it is done; the wish stays.
//! Knows nothing of engines, and writes nothing: only root may.

use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup::{Pid, Place, places};

/// A file that tells whether a group is to stand still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Where it is.
    pub file: PathBuf,
    /// What is in it, or is to be written into it, where the group goes on.
    pub thawed: &'static str,
}

/// The switches of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freezer(Vec<Switch>);

impl Freezer {
    /// Those of the container that its engine calls `id` and whose first process has this number; none where no
    /// group of that process is named so. Then the number may be one of another machine, as that of Docker
    /// Desktop.
    #[must_use]
    pub fn of(root: &Path, pid: u32, id: &str) -> Option<Freezer> {
        if id.is_empty() {
            return None;
        }
        let mut switches = Vec::new();
        for (controllers, place) in places(root, Pid::Of(pid)) {
            let (name, thawed) = match place.unified {
                true => ("cgroup.freeze", "0"),
                false if controllers.iter().any(|name| name == "freezer") => {
                    ("freezer.state", "THAWED")
                }
                false => continue,
            };
            let files = groups_of(&place, id)
                .into_iter()
                .map(|dir| dir.join(name))
                .filter(|file| file.is_file());
            switches.extend(files.map(|file| Switch { file, thawed }));
        }
        (!switches.is_empty()).then_some(Freezer(switches))
    }

    /// The switches by which it stands still, or is to. A group that is gone holds nobody.
    #[must_use]
    pub fn frozen(&self) -> Vec<Switch> {
        let is_frozen = |switch: &&Switch| {
            fs::read_to_string(&switch.file).is_ok_and(|state| state.trim() != switch.thawed)
        };
        self.0.iter().filter(is_frozen).cloned().collect()
    }
}

/// The groups of the container: the process may have gone into one below that which the engine made and freezes.
/// What is above is others', too.
fn groups_of<'a>(place: &'a Place, id: &str) -> Vec<&'a Path> {
    let mut groups: Vec<&Path> = place.upwards().collect();
    let is_named = |dir: &&Path| {
        let name = dir.file_name().unwrap_or_default();
        name.to_string_lossy().contains(id)
    };
    let named = groups.iter().rposition(is_named);
    groups.truncate(named.map_or(0, |last| last + 1));
    groups
}
