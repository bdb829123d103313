//! Warm marks: files in a shared-state cache that record which shared parts of variants good builds have left
//! in it.
//!
//! A mark is in the cache itself, so it disappears with the cache. It only says that a build once left its
//! state here: code that removes from the cache must call [`forget`], and marks in an otherwise empty cache do
//! not count. A wrong mark only costs time: builds make the same packages at the same time.

use std::fs;
use std::path::{Path, PathBuf};

use crate::caches::OURS;
use crate::fs::{PathError, replace};

/// Follows [`OURS`] in the name of a mark.
const MARK: &str = "warm.";

fn place(cache: &Path, digest: &str) -> PathBuf {
    cache.join(format!("{OURS}{MARK}{digest}"))
}

/// Whether a good build has left the shared part with this digest.
#[must_use]
pub fn is_warm(cache: &Path, digest: &str) -> bool {
    place(cache, digest).is_file() && holds_state(cache)
}

/// Records that a good build has left it; `name` is for people. Writes nothing if the mark exists.
///
/// # Errors
/// When the mark cannot be written.
pub fn mark(cache: &Path, digest: &str, name: &str) -> Result<(), PathError> {
    let place = place(cache, digest);
    match place.is_file() {
        true => Ok(()),
        false => replace(&place, format!("{name}\n").as_bytes(), None),
    }
}

/// Removes all marks, as far as possible.
pub fn forget(cache: &Path) {
    let prefix = format!("{OURS}{MARK}");
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // A mark that stays only makes builds slower.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether the cache contains anything except hidden files, such as the tool's own, and empty directories.
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
