//! The directories of the settings: whether they are writable, and the free disk space.

use std::path::{Path, PathBuf};

use crate::commands::doctor::report::{CheckVerdict, DoctorCheck};
use crate::host::disk_space::{file_system_id, free_space};
use crate::settings::Settings;
use crate::wsl::{WindowsDrive, drive_of};

pub(super) const GIB: u64 = 1 << 30;

/// Bytes below which `doctor` warns: a build directory needs about 2 GB, an image and its capture another 2, and
/// the caches as much again.
const LITTLE_ROOM: u64 = 10 * GIB;

/// A check for each directory that is not writable, and one for each file system. Directories on a Windows drive
/// are left out: a call to a drive that does not answer never returns.
pub(super) fn directory_checks(settings: &Settings, drives: &[WindowsDrive]) -> Vec<DoctorCheck> {
    let mut file_systems = Groups::new();
    let mut refused = Groups::new();
    let on_linux = settings
        .directories()
        .into_iter()
        .filter(|(_, path)| drive_of(path, drives).is_none());
    for (name, path) in on_linux {
        file_systems.add(file_system_id(path), name, path);
        if let Some((nearest, reason)) = not_writable(path) {
            refused.add((nearest.to_path_buf(), reason), name, path);
        }
    }
    let refused = refused.0.into_iter().map(|((nearest, reason), names, _)| {
        DoctorCheck::new("directory", CheckVerdict::Fail)
            .says(format!(
                "{} {reason}: {}",
                nearest.display(),
                names.join(", ")
            ))
            .hint(Some(
                "change its owner, or set these settings to another directory".to_owned(),
            ))
    });
    let room = file_systems
        .0
        .into_iter()
        .map(|(_, names, path)| room_check(&names.join(", "), free_space(&path).ok(), &path));
    refused.chain(room).collect()
}

/// Settings grouped by a property of their directories, with one directory of each group.
struct Groups<K>(Vec<(K, Vec<&'static str>, PathBuf)>);

impl<K: PartialEq> Groups<K> {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn add(&mut self, key: K, name: &'static str, path: &Path) {
        match self.0.iter_mut().find(|(known, ..)| *known == key) {
            Some((_, names, _)) => names.push(name),
            None => self.0.push((key, vec![name], path.to_path_buf())),
        }
    }
}

pub(super) fn room_check(names: &str, free: Option<u64>, path: &Path) -> DoctorCheck {
    match free {
        None => DoctorCheck::new("disk", CheckVerdict::Warn)
            .says(format!("the free space at {} is unknown", path.display())),
        Some(free) => {
            let says = format!("{} GiB free for {names}", free / GIB);
            if free < LITTLE_ROOM {
                DoctorCheck::new("disk", CheckVerdict::Warn).says(says).hint(Some(
                    "a build directory needs about 2 GiB; set some of these settings to another file system"
                        .to_owned(),
                ))
            } else {
                DoctorCheck::new("disk", CheckVerdict::Ok).says(says)
            }
        }
    }
}

/// The nearest existing ancestor of a directory that cannot be created or written, and why.
fn not_writable(path: &Path) -> Option<(&Path, &'static str)> {
    let nearest = path.ancestors().find(|ancestor| ancestor.exists())?;
    if !nearest.is_dir() {
        Some((nearest, "is not a directory"))
    } else if rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK).is_err() {
        Some((nearest, "is not writable for this user"))
    } else {
        None
    }
}
