//! Marks in a shared state cache: what good builds have left in it, by what their variants share.
//!
//! A mark is a file in the cache itself, so it goes where the cache goes. It says that some time a build
//! left its state here, and no more: whoever removes from the cache has to [`forget`], and where nothing
//! but marks is left, they say nothing. A wrong mark costs time: builds that could follow each other make
//! the same things beside each other.

use std::fs;
use std::path::{Path, PathBuf};

use crate::caches::OURS;
use crate::fs::{PathError, replace};

/// What follows [`OURS`] in the name of a mark.
const MARK: &str = "warm.";

fn place(cache: &Path, digest: &str) -> PathBuf {
    cache.join(format!("{OURS}{MARK}{digest}"))
}

/// Whether a build that ended well has left what variants share that have this digest.
#[must_use]
pub fn is_warm(cache: &Path, digest: &str) -> bool {
    place(cache, digest).is_file() && holds_state(cache)
}

/// Says that it has; `name` is for people. Nothing is written where it was said before.
///
/// # Errors
/// The system's.
pub fn mark(cache: &Path, digest: &str, name: &str) -> Result<(), PathError> {
    let place = place(cache, digest);
    match place.is_file() {
        true => Ok(()),
        false => replace(&place, format!("{name}\n").as_bytes(), None),
    }
}

/// Takes all marks back. What cannot be removed stays.
pub fn forget(cache: &Path) {
    let prefix = format!("{OURS}{MARK}");
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // A mark that stays makes builds slower, nothing else.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether anything lies in the cache beside what is hidden, ours included, and empty directories.
fn holds_state(cache: &Path) -> bool {
    fs::read_dir(cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .any(|entry| match fs::read_dir(entry.path()) {
            Ok(mut inside) => inside.next().is_some(),
            Err(_) => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_counts_as_long_as_there_is_state() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path();
        assert!(!is_warm(cache, "a"));
        mark(cache, "a", "qemuamd64, debian-bookworm").unwrap();
        assert!(!is_warm(cache, "a"), "there is nothing in the cache");
        fs::create_dir(cache.join("00")).unwrap();
        assert!(!is_warm(cache, "a"), "an empty directory is nothing");
        fs::write(cache.join("00/sstate:x.tar.zst"), "").unwrap();
        assert!(is_warm(cache, "a"));
        assert!(!is_warm(cache, "b"));
        mark(cache, "a", "again").unwrap();
        forget(cache);
        assert!(!is_warm(cache, "a"));
        assert!(cache.join("00/sstate:x.tar.zst").exists());
    }
}
