//! The proof that `sync(2)` cannot wait for a drive: the superblock is gone, not only the mount.
//!
//! Every superblock of 9p has an entry `9p-N` in `/sys/class/bdi` as long as it lives (`super_setup_bdi` of
//! Linux), also when nothing mounts it any more, and whatever WSL distribution it belongs to. N says nothing of
//! the device, so they are counted: each must be explained by a mount that some process sees and that is no
//! drive. One of virtiofs is named after its device.
//!
//! A state is judged, never a difference: a second try cannot pass because a first one has changed what it is
//! compared with. Pure but for one directory that is read.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::drive::Drive;
use super::holders::Scan;

/// What still lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Alive {
    /// A drive is mounted in some namespace.
    Mounted(String),
    /// So many superblocks of 9p live that nobody mounts whom we can see.
    Unseen(usize),
    /// A drive of virtiofs lives.
    Virtiofs(String),
    /// The mounts of some process are not known.
    Unknown,
}

/// What still lives although `taken` was unmounted; empty where the proof holds.
pub(super) fn alive(bdi: &Path, scan: &Scan, taken: &[Drive]) -> io::Result<Vec<Alive>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(bdi)? {
        entries.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let mut found = Vec::new();
    if !scan.complete {
        found.push(Alive::Unknown);
    }
    let is_taken = |device: &str| taken.iter().any(|drive| drive.device == device);
    let mut explained = BTreeSet::new();
    // One can look like a drive in one namespace and not in another.
    let mut devices = BTreeMap::new();
    for mounted in &scan.mounted {
        let is_drive = mounted.is_drive || is_taken(&mounted.device);
        *devices.entry(&mounted.device).or_insert(false) |= is_drive;
        explained.extend((mounted.fs_type == "9p").then_some(&mounted.device));
    }
    for (device, _) in devices.into_iter().filter(|(_, is_drive)| *is_drive) {
        found.push(Alive::Mounted(device.clone()));
    }
    let superblocks = entries
        .iter()
        .filter(|name| name.starts_with("9p-"))
        .count();
    if superblocks > explained.len() {
        found.push(Alive::Unseen(superblocks - explained.len()));
    }
    for drive in taken.iter().filter(|drive| drive.fs_type == "virtiofs") {
        if entries.contains(&drive.device) {
            found.push(Alive::Virtiofs(drive.point.display().to_string()));
        }
    }
    found.dedup();
    Ok(found)
}

impl std::fmt::Display for Alive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Alive::Mounted(device) => {
                write!(
                    f,
                    "the drive with device {device} is mounted in another namespace"
                )
            }
            Alive::Unseen(1) => f.write_str(UNSEEN_ONE),
            Alive::Unseen(count) => write!(
                f,
                "{count} superblocks of 9p still live that no process mounts whom we can see"
            ),
            Alive::Virtiofs(point) => write!(f, "the superblock of {point} still lives"),
            Alive::Unknown => f.write_str("the mounts of some process cannot be read"),
        }
    }
}

const UNSEEN_ONE: &str = "one superblock of 9p still lives that no process mounts whom we can see";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mountinfo::parse;
    use crate::wsl::drive::drives;
    use crate::wsl::holders::Mounted;

    fn taken(fs_type: &str) -> Vec<Drive> {
        let line = format!("75 24 0:44 / /mnt/c rw - {fs_type} C: rw\n");
        drives(&parse(line.as_bytes()).unwrap(), Path::new("/mnt")).drives
    }

    fn scan(mounted: &[(&str, &str)]) -> Scan {
        Scan {
            mounted: mounted
                .iter()
                .map(|&(kind, device)| Mounted {
                    fs_type: kind.to_owned(),
                    device: device.to_owned(),
                    is_drive: false,
                })
                .collect(),
            complete: true,
            ..Scan::default()
        }
    }

    #[test]
    fn each_superblock_must_be_explained_by_a_mount_that_is_no_drive() {
        let bdi = tempfile::tempdir().unwrap();
        for name in ["8:0", "9p-1", "9p-7", "mtd-0"] {
            std::fs::write(bdi.path().join(name), "").unwrap();
        }
        let check =
            |mounted: &[(&str, &str)]| alive(bdi.path(), &scan(mounted), &taken("9p")).unwrap();
        assert_eq!(check(&[("9p", "0:25")]), [Alive::Unseen(1)]);
        assert_eq!(check(&[]), [Alive::Unseen(2)]);
        assert_eq!(
            check(&[("virtiofs", "0:30"), ("9p", "0:25")]),
            [Alive::Unseen(1)]
        );
        assert_eq!(
            check(&[("9p", "0:25"), ("9p", "0:44")]),
            [Alive::Mounted("0:44".to_owned())]
        );
        assert_eq!(check(&[("9p", "0:25"), ("9p", "0:26")]), []);
        // A drive that was never ours to unmount, as one of a namespace in which alone it is.
        let mut elsewhere = scan(&[("9p", "0:25"), ("9p", "0:26")]);
        elsewhere.mounted.insert(Mounted {
            fs_type: "9p".to_owned(),
            device: "0:26".to_owned(),
            is_drive: true,
        });
        assert_eq!(
            alive(bdi.path(), &elsewhere, &taken("9p")).unwrap(),
            [Alive::Mounted("0:26".to_owned())]
        );
        // A second look at the same state says the same.
        assert_eq!(check(&[("9p", "0:25")]), check(&[("9p", "0:25")]));
        let mut unsure = scan(&[("9p", "0:25"), ("9p", "0:26")]);
        unsure.complete = false;
        assert_eq!(
            alive(bdi.path(), &unsure, &taken("9p")).unwrap(),
            [Alive::Unknown]
        );
    }

    #[test]
    fn virtiofs_is_told_by_its_device() {
        let bdi = tempfile::tempdir().unwrap();
        std::fs::write(bdi.path().join("0:44"), "").unwrap();
        let alive = |dir| alive(dir, &scan(&[]), &taken("virtiofs")).unwrap();
        assert_eq!(alive(bdi.path()), [Alive::Virtiofs("/mnt/c".to_owned())]);
        std::fs::remove_file(bdi.path().join("0:44")).unwrap();
        assert_eq!(alive(bdi.path()), []);
    }

    #[test]
    fn where_the_kernel_does_not_tell_nothing_is_proven() {
        assert!(alive(Path::new("/nonexistent"), &scan(&[]), &taken("9p")).is_err());
    }
}
