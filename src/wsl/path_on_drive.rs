//! Decides whether a path leads to a Windows drive without touching the drive: symbolic links are followed one
//! by one, and the walk ends as soon as it reaches a drive.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use crate::wsl::drive::WindowsDrive;

/// At most this many links are followed, as in the kernel.
const MAX_LINKS: u32 = 40;

/// The drive that contains an absolute path, or would contain it once it is created.
#[must_use]
pub fn drive_of<'a>(path: &Path, drives: &'a [WindowsDrive]) -> Option<&'a WindowsDrive> {
    let points: Vec<&Path> = drives.iter().map(|drive| drive.point.as_path()).collect();
    let (_, on) = resolve_up_to(path, &points);
    on.map(|index| &drives[index])
}

/// Resolves the links of an absolute path until it reaches one of `stops`. Returns the resolved
/// path, and the index of the stop that it lies below.
pub(super) fn resolve_up_to(path: &Path, stops: &[&Path]) -> (PathBuf, Option<usize>) {
    let mut left: Vec<OsString> = names_reversed(path);
    let mut here = PathBuf::from("/");
    let mut links = 0;
    loop {
        // Of two stops inside each other, the inner one counts.
        let on = (0..stops.len())
            .filter(|&index| here.starts_with(stops[index]))
            .max_by_key(|&index| stops[index].components().count());
        if on.is_some() {
            here.extend(left.into_iter().rev());
            return (here, on);
        }
        let Some(name) = left.pop() else {
            return (here, None);
        };
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        if stops.contains(&next.as_path()) {
            here = next;
            continue;
        }
        match std::fs::read_link(&next) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                left.extend(names_reversed(&target));
            }
            _ => here = next,
        }
    }
}

/// The names in a path, the last one first.
fn names_reversed(path: &Path) -> Vec<OsString> {
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
    use crate::host::mountinfo::parse;
    use crate::wsl::drive::classify;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_up_to_the_drive_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let line = format!("75 24 0:44 / {}/mnt/c rw - 9p C: rw\n", root.display());
        let drives = classify(&parse(line.as_bytes()).unwrap(), &root.join("mnt")).drives;
        std::fs::create_dir_all(root.join("home/me")).unwrap();
        std::fs::create_dir_all(root.join("mnt")).unwrap();
        // This link is on the drive and leads away from it. It must not be read.
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
            resolve_up_to(&root.join("home/again/x"), &points),
            (root.join("mnt/c/cache/x"), Some(0))
        );
        symlink("../home/me", root.join("mnt/me")).unwrap();
        assert_eq!(
            resolve_up_to(&root.join("mnt/me/state"), &points),
            (root.join("home/me/state"), None)
        );
    }
}
