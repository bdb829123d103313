//! Atomic replacement of files and links.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::fs::error::PathError;
use crate::fs::part_file::PartFile;
use crate::fs::paths::{parent, remove, sync_dir, with_suffix};

/// Replaces a file by `bytes`, atomically; without a mode it gets 0644 less the umask.
///
/// # Errors
/// Errors of the file system; the file is then unchanged.
pub fn replace(path: &Path, bytes: &[u8], mode: Option<u32>) -> Result<(), PathError> {
    let part = PartFile::create(path)?;
    part.file()
        .write_all(bytes)
        .map_err(PathError::on("write", part.path()))?;
    part.commit(mode)
}

/// Makes `link` a symbolic link to `target`, atomically replacing a file or link.
///
/// The name of the intermediate link is fixed, so the next call removes that of a dead process. The caller must
/// hold a lock that excludes other writers of this link.
///
/// # Errors
/// Errors of the file system; `link` is then unchanged.
pub fn replace_link(target: &Path, link: &Path) -> Result<(), PathError> {
    let part = with_suffix(link, ".link.part");
    remove(&part)?;
    std::os::unix::fs::symlink(target, &part).map_err(PathError::on("create link", &part))?;
    if let Err(error) = fs::rename(&part, link) {
        // The first error is the one to report.
        let _ = fs::remove_file(&part);
        return Err(PathError::on("replace", link)(error));
    }
    sync_dir(parent(link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_at_the_part_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("f.part")).unwrap();
        assert!(replace(&dir.path().join("f"), b"x", None).is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    }

    #[test]
    fn replace_link_replaces_links_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        fs::write(&link, "a file").unwrap();
        for target in ["/a", "/b"] {
            std::os::unix::fs::symlink("/left", with_suffix(&link, ".link.part")).unwrap();
            replace_link(Path::new(target), &link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
