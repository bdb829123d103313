//! The proof that `sync(2)` cannot wait for a drive: its superblock is gone, and not only its
//! mount.
//!
//! Each 9p superblock has an entry `9p-N` in `/sys/class/bdi` while it exists (`super_setup_bdi` in
//! Linux), even without any mount, and whichever WSL distribution it belongs to. N does not
//! identify the device, so the entries are counted: each must be explained by a visible mount that
//! is not a drive. A virtiofs entry is named after its device.
//!
//! The proof judges a state and never compares two: otherwise a second try could pass because the
//! first one changed the baseline. Pure, except that it reads one directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use crate::wsl::drive::WindowsDrive;
use crate::wsl::drive_users::ProcessScan;

/// Why the proof fails: a superblock that still exists, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LiveSuperblock {
    /// The drive with this device number is mounted in some namespace.
    Mounted(String),
    /// This many 9p superblocks have no visible mount.
    WithoutMount(usize),
    /// The virtiofs drive of this mount point.
    Virtiofs(String),
    /// The mounts of some process are unknown.
    Unknown,
}

/// The superblocks that still exist after `unmounted` was unmounted; empty where the proof holds.
pub(super) fn live_superblocks(
    bdi: &Path,
    scan: &ProcessScan,
    unmounted: &[WindowsDrive],
) -> io::Result<Vec<LiveSuperblock>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(bdi)? {
        entries.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let mut found = Vec::new();
    if !scan.complete {
        found.push(LiveSuperblock::Unknown);
    }
    let is_unmounted = |device: &str| unmounted.iter().any(|drive| drive.device == device);
    let mut explained = BTreeSet::new();
    // A file system can look like a drive in one namespace and not in another.
    let mut devices = BTreeMap::new();
    for mounted in &scan.mounted {
        let is_drive = mounted.is_drive || is_unmounted(&mounted.device);
        *devices.entry(&mounted.device).or_insert(false) |= is_drive;
        explained.extend((mounted.fs_type == "9p").then_some(&mounted.device));
    }
    for (device, _) in devices.into_iter().filter(|(_, is_drive)| *is_drive) {
        found.push(LiveSuperblock::Mounted(device.clone()));
    }
    let superblocks = entries
        .iter()
        .filter(|name| name.starts_with("9p-"))
        .count();
    if superblocks > explained.len() {
        found.push(LiveSuperblock::WithoutMount(superblocks - explained.len()));
    }
    for drive in unmounted.iter().filter(|drive| drive.fs_type == "virtiofs") {
        if entries.contains(&drive.device) {
            found.push(LiveSuperblock::Virtiofs(drive.point.display().to_string()));
        }
    }
    found.dedup();
    Ok(found)
}

impl std::fmt::Display for LiveSuperblock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LiveSuperblock::Mounted(device) => {
                write!(
                    f,
                    "the drive with device {device} is mounted in another namespace"
                )
            }
            LiveSuperblock::WithoutMount(1) => {
                f.write_str("one 9p superblock still exists without a visible mount")
            }
            LiveSuperblock::WithoutMount(count) => write!(
                f,
                "{count} 9p superblocks still exist without a visible mount"
            ),
            LiveSuperblock::Virtiofs(point) => write!(f, "the superblock of {point} still exists"),
            LiveSuperblock::Unknown => f.write_str("the mounts of some process cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::mountinfo::parse;
    use crate::wsl::drive::classify;
    use crate::wsl::drive_users::MountedFileSystem;

    fn unmounted(fs_type: &str) -> Vec<WindowsDrive> {
        let line = format!("75 24 0:44 / /mnt/c rw - {fs_type} C: rw\n");
        classify(&parse(line.as_bytes()).unwrap(), Path::new("/mnt")).drives
    }

    fn scan(mounted: &[(&str, &str)]) -> ProcessScan {
        ProcessScan {
            mounted: mounted
                .iter()
                .map(|&(kind, device)| MountedFileSystem {
                    fs_type: kind.to_owned(),
                    device: device.to_owned(),
                    is_drive: false,
                })
                .collect(),
            complete: true,
            ..ProcessScan::default()
        }
    }

    #[test]
    fn the_proof_needs_a_mount_other_than_a_drive_for_each_superblock() {
        let bdi = tempfile::tempdir().unwrap();
        for name in ["8:0", "9p-1", "9p-7", "mtd-0"] {
            std::fs::write(bdi.path().join(name), "").unwrap();
        }
        let check = |mounted: &[(&str, &str)]| {
            live_superblocks(bdi.path(), &scan(mounted), &unmounted("9p")).unwrap()
        };
        assert_eq!(check(&[("9p", "0:25")]), [LiveSuperblock::WithoutMount(1)]);
        assert_eq!(check(&[]), [LiveSuperblock::WithoutMount(2)]);
        assert_eq!(
            check(&[("virtiofs", "0:30"), ("9p", "0:25")]),
            [LiveSuperblock::WithoutMount(1)]
        );
        assert_eq!(
            check(&[("9p", "0:25"), ("9p", "0:44")]),
            [LiveSuperblock::Mounted("0:44".to_owned())]
        );
        assert_eq!(check(&[("9p", "0:25"), ("9p", "0:26")]), []);
        // This drive is mounted in another namespace only, so it was not among the unmounted ones.
        let mut elsewhere = scan(&[("9p", "0:25"), ("9p", "0:26")]);
        elsewhere.mounted.insert(MountedFileSystem {
            fs_type: "9p".to_owned(),
            device: "0:26".to_owned(),
            is_drive: true,
        });
        assert_eq!(
            live_superblocks(bdi.path(), &elsewhere, &unmounted("9p")).unwrap(),
            [LiveSuperblock::Mounted("0:26".to_owned())]
        );
        // The same state gives the same result.
        assert_eq!(check(&[("9p", "0:25")]), check(&[("9p", "0:25")]));
        let mut unsure = scan(&[("9p", "0:25"), ("9p", "0:26")]);
        unsure.complete = false;
        assert_eq!(
            live_superblocks(bdi.path(), &unsure, &unmounted("9p")).unwrap(),
            [LiveSuperblock::Unknown]
        );
    }

    #[test]
    fn a_virtiofs_superblock_is_found_by_its_device() {
        let bdi = tempfile::tempdir().unwrap();
        std::fs::write(bdi.path().join("0:44"), "").unwrap();
        let live = |dir| live_superblocks(dir, &scan(&[]), &unmounted("virtiofs")).unwrap();
        assert_eq!(
            live(bdi.path()),
            [LiveSuperblock::Virtiofs("/mnt/c".to_owned())]
        );
        std::fs::remove_file(bdi.path().join("0:44")).unwrap();
        assert_eq!(live(bdi.path()), []);
    }

    #[test]
    fn without_the_kernels_list_of_superblocks_there_is_no_proof() {
        let result = live_superblocks(Path::new("/nonexistent"), &scan(&[]), &unmounted("9p"));
        assert!(result.is_err());
    }
}
