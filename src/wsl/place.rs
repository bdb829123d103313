//! Whether a path lies on a drive, told without asking the drive: each link on the way is followed, and the walk
//! ends as soon as it reaches a drive.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::drive::Drive;

/// How many links are followed, as in the kernel.
const LINKS: u32 = 40;

/// The drive on which an absolute path lies, or would lie once it is made.
#[must_use]
pub fn drive_of<'a>(path: &Path, drives: &'a [Drive]) -> Option<&'a Drive> {
    let mut left: Vec<OsString> = words(path);
    let mut here = PathBuf::from("/");
    let mut links = 0;
    loop {
        // Of two that lie in each other the inner is the one.
        let on = drives
            .iter()
            .filter(|drive| here.starts_with(&drive.point))
            .max_by_key(|drive| drive.point.components().count());
        if on.is_some() {
            return on;
        }
        let word = left.pop()?;
        if word == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&word);
        if drives.iter().any(|drive| drive.point == next) {
            here = next;
            continue;
        }
        match std::fs::read_link(&next) {
            Ok(target) if links < LINKS => {
                links += 1;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                left.extend(words(&target));
            }
            _ => here = next,
        }
    }
}

/// The names of a path, the last first.
fn words(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mountinfo::parse;
    use crate::wsl::drive::drives;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_up_to_the_drive_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let line = format!("75 24 0:44 / {}/mnt/c rw - 9p C: rw\n", root.display());
        let drives = drives(&parse(line.as_bytes()).unwrap(), &root.join("mnt")).drives;
        std::fs::create_dir_all(root.join("home/me")).unwrap();
        std::fs::create_dir_all(root.join("mnt")).unwrap();
        // What is on the drive is never looked at, so this link is not followed away from it.
        std::fs::create_dir_all(root.join("mnt/c")).unwrap();
        symlink(root.join("home"), root.join("mnt/c/away")).unwrap();
        symlink("../../mnt/c/cache", root.join("home/me/cache")).unwrap();
        symlink(root.join("home/me/cache"), root.join("home/again")).unwrap();
        symlink("loop", root.join("home/loop")).unwrap();
        for (path, is_on) in [
            ("mnt/c", true),
            ("mnt/c/away/me", true),
            ("home/me/cache/deep/not/there", true),
            ("home/again/x", true),
            ("home/me/../again", true),
            ("mnt/cc", false),
            ("home/me/state", false),
            ("home/loop/x", false),
        ] {
            assert_eq!(
                drive_of(&root.join(path), &drives).is_some(),
                is_on,
                "{path}"
            );
        }
    }
}
