//! The deploy snapshot: the files under the names that a build may deploy, as they were before the build.
//!
//! The freshness gate compares captured files with it, and the ledger derives the owners of deployed files from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::fs::stamp::Stamp;
use crate::matrix::Variant;
use crate::state::records::deploys::DeployState;
use crate::state::records::{Records, RecordsError};
use crate::steps::deploy_dir;
use crate::steps::deploy_dir::DeployDirError;

/// How long a build waits after the last change of a file that it may deploy. File systems take change times from the
/// kernel's coarse clock, which ticks every 10 ms at the slowest: a file rewritten within one tick could keep its stamp.
const TICK: Duration = Duration::from_millis(20);

/// The same on a file system that stores whole seconds, including FAT's two.
const COARSE_TICK: Duration = Duration::from_millis(2100);

/// The files under the names that a build may deploy, before the build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploySnapshot {
    states: Vec<DeployState>,
}

impl DeploySnapshot {
    /// Takes the snapshot, with the owner of each file by the records. Blocking, for up to 2 s where a file has just
    /// changed.
    ///
    /// # Errors
    /// Those of the records.
    pub fn take(
        records: &Records,
        build_dir: &Path,
        variant: &Variant,
    ) -> Result<DeploySnapshot, RecordsError> {
        let mut states = Vec::new();
        for (path, deploy_name, stamp) in deployed(build_dir, variant) {
            let owner = records.owner_of_state(build_dir, &deploy_name, &stamp)?;
            states.push(DeployState {
                path,
                deploy_name,
                stamp,
                owner,
            });
        }
        let stamps = states.iter().map(|state| &state.stamp);
        if let Some(wait) = until_a_change_shows(stamps, SystemTime::now()) {
            std::thread::sleep(wait);
        }
        Ok(DeploySnapshot { states })
    }

    /// A snapshot of these files.
    #[must_use]
    pub fn of(states: Vec<DeployState>) -> DeploySnapshot {
        DeploySnapshot { states }
    }

    /// The files and their owners.
    #[must_use]
    pub fn states(&self) -> &[DeployState] {
        &self.states
    }

    /// The file of the snapshot that a file with this stamp still is, wherever it was: the same device, inode, change
    /// time and size.
    #[must_use]
    pub fn same_file(&self, stamp: &Stamp) -> Option<&DeployState> {
        self.states.iter().find(|state| {
            let before = &state.stamp;
            (before.device, before.inode, before.ctime, before.bytes)
                == (stamp.device, stamp.inode, stamp.ctime, stamp.bytes)
        })
    }

    /// The files after a good build of `variant`, for the records: new files belong to the variant, others keep their
    /// owner. Blocking.
    #[must_use]
    pub fn after(&self, build_dir: &Path, variant: &Variant) -> Vec<DeployState> {
        deployed(build_dir, variant)
            .into_iter()
            .map(|(path, deploy_name, stamp)| DeployState {
                owner: match self.same_file(&stamp) {
                    None => Some(variant.key.clone()),
                    Some(state) => state.owner.clone(),
                },
                path,
                deploy_name,
                stamp,
            })
            .collect()
    }
}

/// Every file under a name that the variant may deploy, in every directory that can be its deploy directory.
fn deployed(build_dir: &Path, variant: &Variant) -> Vec<(PathBuf, String, Stamp)> {
    let names: Vec<&str> = variant
        .artifacts
        .iter()
        .map(|artifact| artifact.deploy_name.as_str())
        .collect();
    let dirs = match deploy_dir::find(build_dir, &variant.key.machine, &names) {
        Ok(dir) => vec![dir],
        Err(DeployDirError::Several(dirs)) => dirs,
        Err(DeployDirError::None { .. }) => Vec::new(),
    };
    let mut found = Vec::new();
    for dir in dirs {
        for name in &names {
            let path = dir.join(name);
            if let Ok(metadata) = fs::symlink_metadata(&path) {
                found.push((path, (*name).to_owned(), Stamp::of(&metadata)));
            }
        }
    }
    found
}

/// How long to wait until a change of any of the files is certain to change its stamp.
pub(super) fn until_a_change_shows<'a>(
    stamps: impl IntoIterator<Item = &'a Stamp>,
    now: SystemTime,
) -> Option<Duration> {
    stamps
        .into_iter()
        .filter_map(|stamp| {
            let (seconds, nanoseconds) = stamp.ctime;
            let tick = if nanoseconds == 0 { COARSE_TICK } else { TICK };
            let changed = SystemTime::UNIX_EPOCH
                + Duration::new(
                    u64::try_from(seconds).ok()?,
                    u32::try_from(nanoseconds).ok()?,
                );
            match now.duration_since(changed) {
                Ok(age) => tick.checked_sub(age),
                // The clock was set back since the change: its age is unknown.
                Err(_) => Some(tick),
            }
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_waits_until_a_change_would_show() {
        let at = |seconds: u64, nanoseconds| {
            SystemTime::UNIX_EPOCH + Duration::new(1_780_000_000 + seconds, nanoseconds)
        };
        let stamp = Stamp {
            device: 1,
            inode: 7,
            bytes: 3,
            mtime: (0, 0),
            ctime: (1_780_000_000, 1),
        };
        let wait = |now| until_a_change_shows([&stamp], now);

        assert_eq!(wait(at(0, 5_000_001)), Some(Duration::from_millis(15)));
        assert_eq!(wait(at(1, 0)), None);
        assert_eq!(wait(SystemTime::UNIX_EPOCH), Some(TICK));
        assert_eq!(until_a_change_shows([], at(0, 0)), None);
    }
}
