//! The freshness gate: proves that a captured file is what this build made, or unchanged output of the
//! same variant. Knows nothing of what is in the file, beyond its hash.
//!
//! Before a build, every file that it may deploy is looked at; a file is *new* when after the build no
//! file of before is in its state (device, inode, change time, size). Modification times prove nothing:
//! ISAR deploys kernels from shared state with times older than the build, and a copy can be given any.
//! Wall time proves nothing either, clocks are set back; states are compared with states. What is not
//! new is *unchanged*, and whose it is must be proven: by the ledger, which saw it in this very state
//! after a good build of this variant, or by bytes that are those last registered for the variant, from
//! a build directory in which nobody else ever built. Anything else is *stale*.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::deploy::{self, DeployError};
use crate::model::matrix::{Variant, VariantKey};
use crate::model::store_path::hex;
use crate::state::records::deploys::DeployState;
use crate::state::records::{ArtifactRecord, Records, RecordsError};
use crate::store::copy::Stamp;

/// File systems take change times from the kernel's coarse clock, which ticks every 10 ms at the
/// slowest: within one tick a rewritten file can look as before. No build begins that soon after a
/// change of a file that it may deploy.
const TICK: Duration = Duration::from_millis(20);

/// The same where a file system knows whole seconds alone, FAT's two included.
const COARSE_TICK: Duration = Duration::from_millis(2100);

/// What lay under the names that a build may deploy before it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    states: Vec<DeployState>,
}

impl Before {
    /// Looks, and asks the ledger whose the files are. Blocks, for up to 2 s where a file has only just
    /// changed.
    ///
    /// # Errors
    /// When the records do not answer.
    pub fn look(
        records: &Records,
        build_dir: &Path,
        variant: &Variant,
    ) -> Result<Before, RecordsError> {
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
        Ok(Before { states })
    }

    /// Each file and whose it was.
    #[must_use]
    pub fn states(&self) -> &[DeployState] {
        &self.states
    }

    /// The file of before that this one still is, wherever it lay.
    fn same(&self, stamp: &Stamp) -> Option<&DeployState> {
        self.states.iter().find(|state| {
            let before = &state.stamp;
            (before.device, before.inode, before.ctime, before.bytes)
                == (stamp.device, stamp.inode, stamp.ctime, stamp.bytes)
        })
    }

    /// What the ledger is to remember when `variant`'s build has ended well: new files are the
    /// variant's, the others are whose they were. Blocks.
    #[must_use]
    pub fn after(&self, build_dir: &Path, variant: &Variant) -> Vec<DeployState> {
        deployed(build_dir, variant)
            .into_iter()
            .map(|(path, deploy_name, stamp)| DeployState {
                owner: match self.same(&stamp) {
                    None => Some(variant.key.clone()),
                    Some(state) => state.owner.clone(),
                },
                path,
                deploy_name,
                stamp,
            })
            .collect()
    }

    /// Whether only its bytes can prove whose a file in this state is.
    #[must_use]
    pub fn needs_bytes(&self, source: &Stamp) -> bool {
        self.same(source).is_some_and(|state| state.owner.is_none())
    }

    /// What a file is that was captured in the state `source`, with this hash where it is known. `last` is
    /// what was last registered under its unique name; `alone` says that no other variant ever built in
    /// its build directory.
    #[must_use]
    pub fn judge(
        &self,
        source: &Stamp,
        sha256: Option<&[u8; 32]>,
        key: &VariantKey,
        last: Option<&ArtifactRecord>,
        alone: bool,
    ) -> Freshness {
        let Some(state) = self.same(source) else {
            return Freshness::New;
        };
        if state.owner.as_ref() == Some(key) {
            return Freshness::Unchanged;
        }
        let same_bytes = last.is_some_and(|last| {
            last.variant == *key
                && last.bytes == source.bytes
                && sha256.is_some_and(|sha256| last.sha256 == hex(sha256))
        });
        if state.owner.is_none() && alone && same_bytes {
            return Freshness::Unchanged;
        }
        Freshness::Stale {
            owner: state.owner.clone(),
            written: source.ctime,
        }
    }
}

/// Whether a file is of this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// It was written since the build began.
    New,
    /// The build left it as an earlier good build of the same variant had made it.
    Unchanged,
    /// It lay there before, and nothing proves that it is the variant's.
    Stale {
        /// Whose it is, where that is known.
        owner: Option<VariantKey>,
        /// When it last changed: seconds and nanoseconds since 1970.
        written: (i64, i64),
    },
}

impl Freshness {
    /// Why a file may not be registered, as a sentence about it; none where it may.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let Freshness::Stale { owner, written } = self else {
            return None;
        };
        let when = i32::try_from(written.1)
            .ok()
            .and_then(|nanoseconds| Timestamp::new(written.0, nanoseconds).ok())
            .map_or_else(
                || "at an unknown time".to_owned(),
                |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            );
        Some(match owner {
            Some(owner) => format!("stale: belongs to {owner}, written {when}"),
            None => format!(
                "stale: this build did not write it, and no record proves whose it is, written {when}"
            ),
        })
    }
}

/// Every file under a name that the variant may deploy, in every directory that can be its deploy
/// directory.
fn deployed(build_dir: &Path, variant: &Variant) -> Vec<(PathBuf, String, Stamp)> {
    let names: Vec<&str> = variant
        .artifacts
        .iter()
        .map(|artifact| artifact.deploy_name.as_str())
        .collect();
    let dirs = match deploy::find(build_dir, &variant.key.machine, &names) {
        Ok(dir) => vec![dir],
        Err(DeployError::Several(dirs)) => dirs,
        Err(DeployError::None { .. }) => Vec::new(),
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

/// How long to wait until a change of any of the files is sure to show in its change time.
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
                // Its time is ahead of the clock, which was set back; only the tick matters.
                Err(_) => Some(tick),
            }
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> VariantKey {
        VariantKey {
            machine: "qemuamd64".to_owned(),
            id: id.to_owned(),
        }
    }

    fn stamp(inode: u64, ctime: i64) -> Stamp {
        Stamp {
            device: 1,
            inode,
            bytes: 3,
            mtime: (0, 0),
            ctime: (ctime, 1),
        }
    }

    fn before(owner: Option<&str>) -> Before {
        Before {
            states: vec![DeployState {
                path: "/b/tmp/deploy/images/qemuamd64/i.wic".into(),
                deploy_name: "i.wic".to_owned(),
                stamp: stamp(7, 1_780_000_000),
                owner: owner.map(key),
            }],
        }
    }

    fn registered(id: &str, sha256: [u8; 32]) -> ArtifactRecord {
        ArtifactRecord {
            variant: key(id),
            run: "r".to_owned(),
            bytes: 3,
            sha256: hex(&sha256),
            store_path: "/s".into(),
            registered_at: Timestamp::UNIX_EPOCH,
            source_inode: 9,
            source_ctime: (0, 0),
        }
    }

    #[test]
    fn what_is_in_another_state_is_new() {
        let old = before(Some("two"));
        let judge = |stamp| old.judge(&stamp, Some(&[1; 32]), &key("one"), None, false);
        assert_eq!(judge(stamp(8, 1_780_000_000)), Freshness::New, "inode");
        assert_eq!(judge(stamp(7, 1_780_000_001)), Freshness::New, "ctime");
        let mut longer = stamp(7, 1_780_000_000);
        longer.bytes = 4;
        assert_eq!(judge(longer), Freshness::New, "size");
        // A touched modification time makes nothing new.
        let mut touched = stamp(7, 1_780_000_000);
        touched.mtime = (2_000_000_000, 0);
        assert_eq!(
            judge(touched).refusal().as_deref(),
            Some("stale: belongs to qemuamd64/two, written 2026-05-28 20:26:40 UTC")
        );
    }

    #[test]
    fn what_is_unchanged_must_be_proven() {
        let same = stamp(7, 1_780_000_000);
        let one = key("one");
        let last = registered("one", [1; 32]);
        let judge =
            |owner, last, alone| before(owner).judge(&same, Some(&[1; 32]), &one, last, alone);
        assert_eq!(judge(Some("one"), None, false), Freshness::Unchanged);
        assert_eq!(judge(None, Some(&last), true), Freshness::Unchanged);
        assert!(before(None).needs_bytes(&same) && !before(Some("one")).needs_bytes(&same));
        let unread = before(None).judge(&same, None, &one, Some(&last), true);
        assert!(unread.refusal().is_some());
        for (owner, last, alone) in [
            (None, None, true),
            (None, Some(&last), false),
            (None, Some(&registered("two", [1; 32])), true),
            (None, Some(&registered("one", [2; 32])), true),
            (Some("two"), Some(&last), true),
        ] {
            let freshness = judge(owner, last, alone);
            assert!(freshness.refusal().is_some(), "{owner:?} {last:?} {alone}");
        }
    }

    #[test]
    fn a_build_waits_until_a_change_would_show() {
        let at = |seconds: u64, nanoseconds| {
            SystemTime::UNIX_EPOCH + Duration::new(1_780_000_000 + seconds, nanoseconds)
        };
        let stamp = before(None).states[0].stamp;
        let wait = |now| until_a_change_shows([&stamp], now);
        assert_eq!(wait(at(0, 5_000_001)), Some(Duration::from_millis(15)));
        assert_eq!(wait(at(1, 0)), None);
        assert_eq!(wait(SystemTime::UNIX_EPOCH), Some(TICK));
        assert_eq!(until_a_change_shows([], at(0, 0)), None);
    }
}
