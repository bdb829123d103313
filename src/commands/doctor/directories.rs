//! Can we write where the settings say, and is there room?

use std::path::{Path, PathBuf};

use super::report::{Check, Verdict};
use crate::settings::Settings;
use crate::tools::{file_system, free_space};
use crate::wsl::{Drive, drive_of};

pub(super) const GIB: u64 = 1 << 30;

/// A build directory takes about 2 GB, an image and its capture another, and the caches as much again.
const LITTLE_ROOM: u64 = 10 * GIB;

/// A line for each directory that we may not write to, and one for each file system.
/// What lies on a Windows drive is left alone: a drive that does not answer would keep us for ever.
pub(super) fn directory_checks(settings: &Settings, drives: &[Drive]) -> Vec<Check> {
    let mut file_systems = Groups::new();
    let mut refused = Groups::new();
    let on_linux = settings
        .directories()
        .into_iter()
        .filter(|(_, path)| drive_of(path, drives).is_none());
    for (name, path) in on_linux {
        file_systems.add(file_system(path), name, path);
        if let Some((nearest, reason)) = not_writable(path) {
            refused.add((nearest.to_path_buf(), reason), name, path);
        }
    }
    let refused = refused.0.into_iter().map(|((nearest, reason), names, _)| {
        Check::new("directory", Verdict::Fail)
            .says(format!(
                "{} {reason}: {}",
                nearest.display(),
                names.join(", ")
            ))
            .hint(Some(
                "make it yours, or move what is to be there by these settings".to_owned(),
            ))
    });
    let room = file_systems
        .0
        .into_iter()
        .map(|(_, names, path)| room_check(&names.join(", "), free_space(&path).ok(), &path));
    refused.chain(room).collect()
}

/// Names of settings by what their directories have in common, with one of the directories.
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

pub(super) fn room_check(names: &str, free: Option<u64>, path: &Path) -> Check {
    match free {
        None => Check::new("disk", Verdict::Warn).says(format!(
            "the free space at {} cannot be told",
            path.display()
        )),
        Some(free) => {
            let says = format!("{} GiB free for {names}", free / GIB);
            if free < LITTLE_ROOM {
                Check::new("disk", Verdict::Warn).says(says).hint(Some(
                    "a build directory takes about 2 GiB; move some of these by their settings"
                        .to_owned(),
                ))
            } else {
                Check::new("disk", Verdict::Ok).says(says)
            }
        }
    }
}

/// Where and why nothing can be written. What does not exist yet is made below the nearest that does.
fn not_writable(path: &Path) -> Option<(&Path, &'static str)> {
    let nearest = path.ancestors().find(|ancestor| ancestor.exists())?;
    if !nearest.is_dir() {
        Some((nearest, "is no directory"))
    } else if rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK).is_err() {
        Some((nearest, "is not writable for this user"))
    } else {
        None
    }
}
