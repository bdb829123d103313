//! Free space, and which paths share a file system; also for paths that do not exist yet.

use std::io;
use std::path::Path;

/// Bytes that an unprivileged user can still write at `path`. For a path that does not exist, its
/// nearest ancestor counts.
///
/// # Errors
/// When the file system cannot be queried.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let nearest = existing_ancestor(path).unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(nearest)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The device number of the file system that holds `path` or, where `path` does not exist, its
/// nearest ancestor.
#[must_use]
pub fn file_system_id(path: &Path) -> Option<u64> {
    let nearest = existing_ancestor(path)?;
    rustix::fs::stat(nearest).ok().map(|stat| stat.st_dev)
}

fn existing_ancestor(path: &Path) -> Option<&Path> {
    path.ancestors().find(|ancestor| ancestor.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_does_not_exist_yet_has_the_space_of_its_nearest_ancestor() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("not/yet/here");

        assert!(free_space(&below).unwrap() > 0);
        assert_eq!(file_system_id(&below), file_system_id(dir.path()));
    }
}
