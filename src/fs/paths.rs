//! Directories and names: creation, removal, syncs, and the identity of an open file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fs::error::PathError;

/// The directory that contains a path; `.` for a bare name.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes renames and new names in a directory survive a loss of power.
///
/// # Errors
/// Errors of the file system.
pub fn sync_dir(dir: &Path) -> Result<(), PathError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(PathError::on("sync", dir))
}

/// The number of attempts to create a directory while other processes remove its parents.
const TRIES: u64 = 1_000;

/// The attempts without a pause. Later ones wait for times that differ, so that they do not keep step with a process
/// that removes parents in a loop.
const QUICK_TRIES: u64 = 10;

/// Creates a directory with its parents, even if other processes remove empty parents meanwhile.
///
/// # Errors
/// Errors of the file system.
pub fn create_dir(dir: &Path) -> Result<(), PathError> {
    let mut tried = 0;
    loop {
        tried += 1;
        match fs::create_dir_all(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tried < TRIES => {}
            answer => return answer.map_err(PathError::on("create directory", dir)),
        }
        if tried > QUICK_TRIES {
            std::thread::sleep(Duration::from_micros(tried % 97));
        }
    }
}

/// Removes a file or link; a missing one is no error.
///
/// # Errors
/// Errors of the file system.
pub fn remove(path: &Path) -> Result<(), PathError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PathError::on("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The path with `suffix` appended to its name.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Whether `path` still names the file that is open as `file`.
///
/// # Errors
/// Errors of the file system, except for a missing path.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_dir_succeeds_while_empty_parents_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (above, parent) = (dir.path().join("a"), dir.path().join("a/b"));
        let (going_on, rounds) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let (above, parent) = (&above, &parent);
            scope.spawn(move || {
                while rounds.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    let _ = fs::remove_dir(parent);
                    let _ = fs::remove_dir(above);
                    // More often than captures end; a loop without a pause would starve the creating thread.
                    std::thread::sleep(std::time::Duration::from_micros(20));
                }
            });
            // Dropped after the last round or a failed one, which ends the other thread.
            let _going_on = going_on;
            for round in 0..2000 {
                let own = parent.join(round.to_string());
                create_dir(&own).unwrap();
                fs::write(own.join("f"), "").unwrap();
                fs::remove_dir_all(&own).unwrap();
            }
        });
    }
}
