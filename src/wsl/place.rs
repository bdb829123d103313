//! Where a path leads and whether it lies on a drive, told without asking the drive: each link on the way is
//! followed, and the walk ends as soon as it reaches a drive.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::drive::Drive;

/// How many links are followed, as in the kernel.
const LINKS: u32 = 40;

/// The drive on which an absolute path lies, or would lie once it is made.
#[must_use]
pub fn drive_of<'a>(path: &Path, drives: &'a [Drive]) -> Option<&'a Drive> {
    let points: Vec<&Path> = drives.iter().map(|drive| drive.point.as_path()).collect();
    let (_, on) = lead(path, &points);
    on.map(|number| &drives[number])
}

/// Where an absolute path leads, its links followed up to the first of `stops`; and which of them it lies on.
pub(super) fn lead(path: &Path, stops: &[&Path]) -> (PathBuf, Option<usize>) {
    let mut left: Vec<OsString> = words(path);
    let mut here = PathBuf::from("/");
    let mut links = 0;
    loop {
        // Of two that lie in each other the inner is the one.
        let on = (0..stops.len())
            .filter(|&number| here.starts_with(stops[number]))
            .max_by_key(|&number| stops[number].components().count());
        if on.is_some() {
            here.extend(left.into_iter().rev());
            return (here, on);
        }
        let Some(word) = left.pop() else {
            return (here, None);
        };
        if word == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&word);
        if stops.contains(&next.as_path()) {
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
        let points = [drives[0].point.as_path()];
        assert_eq!(
            lead(&root.join("home/again/x"), &points),
            (root.join("mnt/c/cache/x"), Some(0))
        );
        symlink("../home/me", root.join("mnt/me")).unwrap();
        assert_eq!(
            lead(&root.join("mnt/me/state"), &points),
            (root.join("home/me/state"), None)
        );
    }
}
