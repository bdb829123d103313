//! The commit and branch that a clone has checked out, read without starting git.

use std::fs;
use std::path::Path;

use crate::kas::config::{KasPin, KasRepo};

/// Whether the directory at `path` holds the files of a repository that a chain means now: at the pinned commit,
/// also with patches on it, or whatever is there where the pin can move.
#[must_use]
pub fn is_usable(repo: &KasRepo, path: &Path) -> bool {
    let is_at_pin = match repo.fixed_commit() {
        Some(commit) if repo.pin != KasPin::Local => {
            // kas commits patches to a branch that is named after the pin.
            head(path).is_some_and(|head| head == commit)
                || !repo.patches.is_empty()
                    && branch(path)
                        .is_some_and(|branch| branch.strip_prefix("patched-") == Some(commit))
        }
        _ => true,
    };
    is_at_pin && path.is_dir()
}

/// The commit at HEAD; `None` when HEAD or the reference that it names cannot be read.
pub(super) fn head(work_tree: &Path) -> Option<String> {
    let git = work_tree.join(".git");
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let head = head.trim();
    let Some(reference) = head.strip_prefix("ref: ") else {
        return Some(head.to_owned());
    };
    if let Ok(commit) = fs::read_to_string(git.join(reference)) {
        return Some(commit.trim().to_owned());
    }
    let packed = fs::read_to_string(git.join("packed-refs")).ok()?;
    packed.lines().find_map(|line| {
        let (commit, name) = line.split_once(' ')?;
        (name == reference).then(|| commit.to_owned())
    })
}

/// The branch at HEAD; `None` when HEAD is detached or cannot be read.
pub(super) fn branch(work_tree: &Path) -> Option<String> {
    let head = fs::read_to_string(work_tree.join(".git/HEAD")).ok()?;
    let branch = head.trim().strip_prefix("ref: refs/heads/")?;
    Some(branch.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_may_be_detached_loose_or_packed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(head(dir.path()), None);
        let git = dir.path().join(".git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::write(git.join("HEAD"), "abc\n").unwrap();
        assert_eq!(head(dir.path()).as_deref(), Some("abc"));
        assert_eq!(branch(dir.path()), None);
        fs::write(git.join("HEAD"), "ref: refs/heads/x\n").unwrap();
        fs::write(git.join("packed-refs"), "# pack\ndef refs/heads/x\n").unwrap();
        assert_eq!(head(dir.path()).as_deref(), Some("def"));
        fs::write(git.join("refs/heads/x"), "ghi\n").unwrap();
        assert_eq!(head(dir.path()).as_deref(), Some("ghi"));
        assert_eq!(branch(dir.path()).as_deref(), Some("x"));
    }
}
