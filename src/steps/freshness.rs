//! Freshness: whether a captured file is what this build made, or unchanged output of the same variant. Looks at stamps
//! and hashes, not into files.
//!
//! A file is *new* when the deploy snapshot from before the build has no file with its device, inode, change time and
//! size. Modification times prove nothing: ISAR deploys kernels from shared state with times before the build, and a
//! copy can have any time. Wall time proves nothing either, because clocks are set back.
//!
//! A file that is not new must be proven to be *unchanged* output of the variant: the ledger saw it with this stamp
//! after a good build of the variant, or its bytes are those last registered for the variant and no other variant ever
//! built in its build directory. Any other file is *stale*.

use jiff::Timestamp;

use crate::base::hex;
use crate::fs::stamp::Stamp;
use crate::matrix::VariantKey;
use crate::state::records::ArtifactRecord;
use crate::steps::deploy_snapshot::DeploySnapshot;

/// A captured file to judge.
#[derive(Debug, Clone, Copy)]
pub struct FreshnessQuestion<'a> {
    /// The stamp with which it was captured.
    pub stamp: &'a Stamp,
    /// Its hash, where it is known.
    pub sha256: Option<&'a [u8; 32]>,
    /// The variant that captured it.
    pub variant: &'a VariantKey,
    /// The last registration under its unique name.
    pub last: Option<&'a ArtifactRecord>,
    /// Whether no other variant ever built in its build directory.
    pub alone: bool,
}

/// Whether a file is of this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// It was written since the build began.
    New,
    /// An earlier good build of the same variant wrote it.
    Unchanged,
    /// It was there before the build, and nothing proves that it is the variant's.
    Stale {
        /// The variant that it belongs to, where it is known.
        owner: Option<VariantKey>,
        /// The change time: seconds and nanoseconds since 1970.
        written: (i64, i64),
    },
}

/// Judges a captured file by the snapshot from before the build.
#[must_use]
pub fn judge(snapshot: &DeploySnapshot, file: &FreshnessQuestion<'_>) -> Freshness {
    let Some(state) = snapshot.same_file(file.stamp) else {
        return Freshness::New;
    };
    if state.owner.as_ref() == Some(file.variant) {
        return Freshness::Unchanged;
    }
    let same_bytes = file.last.is_some_and(|last| {
        last.variant == *file.variant
            && last.bytes == file.stamp.bytes
            && file
                .sha256
                .is_some_and(|sha256| last.sha256 == hex::encode(sha256))
    });
    if state.owner.is_none() && file.alone && same_bytes {
        return Freshness::Unchanged;
    }
    Freshness::Stale {
        owner: state.owner.clone(),
        written: file.stamp.ctime,
    }
}

/// Whether only its bytes can prove the owner of a file with this stamp.
#[must_use]
pub fn needs_bytes(snapshot: &DeploySnapshot, stamp: &Stamp) -> bool {
    snapshot
        .same_file(stamp)
        .is_some_and(|state| state.owner.is_none())
}

impl Freshness {
    /// Why a file may not be registered, as a clause about it; absent where it may.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::records::deploys::DeployState;

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

    fn snapshot(owner: Option<&str>) -> DeploySnapshot {
        DeploySnapshot::of(vec![DeployState {
            path: "/b/tmp/deploy/images/qemuamd64/i.wic".into(),
            deploy_name: "i.wic".to_owned(),
            stamp: stamp(7, 1_780_000_000),
            owner: owner.map(key),
        }])
    }

    fn registered(id: &str, sha256: [u8; 32]) -> ArtifactRecord {
        ArtifactRecord {
            variant: key(id),
            run: "r".to_owned(),
            bytes: 3,
            sha256: hex::encode(&sha256),
            store_path: "/s".into(),
            registered_at: Timestamp::UNIX_EPOCH,
            source_inode: 9,
            source_ctime: (0, 0),
        }
    }

    #[test]
    fn a_file_with_another_stamp_is_new() {
        let old = snapshot(Some("two"));
        let one = key("one");
        let judge = |stamp: Stamp| {
            let file = FreshnessQuestion {
                stamp: &stamp,
                sha256: Some(&[1; 32]),
                variant: &one,
                last: None,
                alone: false,
            };
            judge(&old, &file)
        };

        assert_eq!(judge(stamp(8, 1_780_000_000)), Freshness::New, "inode");
        assert_eq!(judge(stamp(7, 1_780_000_001)), Freshness::New, "ctime");
        let mut longer = stamp(7, 1_780_000_000);
        longer.bytes = 4;
        assert_eq!(judge(longer), Freshness::New, "size");

        let mut touched = stamp(7, 1_780_000_000);
        touched.mtime = (2_000_000_000, 0);
        assert_eq!(
            judge(touched).refusal().as_deref(),
            Some("stale: belongs to qemuamd64/two, written 2026-05-28 20:26:40 UTC"),
            "a new modification time does not make a file new"
        );
    }

    #[test]
    fn an_unchanged_file_must_be_proven_to_be_the_variants() {
        let same = stamp(7, 1_780_000_000);
        let one = key("one");
        let last = registered("one", [1; 32]);
        let judge = |owner: Option<&str>, sha256: Option<&[u8; 32]>, last, alone| {
            let file = FreshnessQuestion {
                stamp: &same,
                sha256,
                variant: &one,
                last,
                alone,
            };
            judge(&snapshot(owner), &file)
        };
        let read = Some(&[1; 32]);

        assert_eq!(judge(Some("one"), read, None, false), Freshness::Unchanged);
        assert_eq!(judge(None, read, Some(&last), true), Freshness::Unchanged);
        assert!(needs_bytes(&snapshot(None), &same));
        assert!(!needs_bytes(&snapshot(Some("one")), &same));
        let unread = judge(None, None, Some(&last), true);
        assert!(unread.refusal().is_some());
        for (owner, last, alone) in [
            (None, None, true),
            (None, Some(&last), false),
            (None, Some(&registered("two", [1; 32])), true),
            (None, Some(&registered("one", [2; 32])), true),
            (Some("two"), Some(&last), true),
        ] {
            let freshness = judge(owner, read, last, alone);
            assert!(freshness.refusal().is_some(), "{owner:?} {last:?} {alone}");
        }
    }
}
