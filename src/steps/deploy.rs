//! Finds the deploy directory of a machine under a build directory. Knows nothing of what is taken
//! from it.
//!
//! Normally it is `tmp/deploy/images/<machine>`, but ISAR 1.0 had moved it and 1.1 moved it back, and
//! TMPDIR is the user's to name. So it is looked for: a directory somewhere below one named `deploy`
//! that has the machine's name or holds a file that the variant deploys. Work directories, which hold
//! whole root file systems, are not entered, and links are not followed.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Directories that hold no deploy directory and may be huge.
const SKIPPED: [&str; 14] = [
    "work",
    "work-shared",
    "stamps",
    "sysroots",
    "sstate",
    "sstate-cache",
    "downloads",
    "cache",
    "log",
    "conf",
    "rootfs",
    "base-apt",
    "isar-apt",
    "bootstrap",
];

/// How deep below the build directory is looked: two more than the usual place.
const MAX_DEPTH: usize = 6;

/// How many directories are read at most; a build directory has some dozens outside of those skipped.
const MAX_DIRS: usize = 10_000;

/// Why there is no one deploy directory.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeployError {
    /// None.
    #[error("no deploy directory of {machine} under {}", build_dir.display())]
    None {
        /// The machine.
        machine: String,
        /// Where it was looked for.
        build_dir: PathBuf,
    },
    /// Several that could be it.
    #[error(
        "several deploy directories hold files of this variant: {}",
        .0.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Several(Vec<PathBuf>),
}

impl DeployError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            DeployError::None { build_dir, .. } => {
                format!(
                    "find where the build deployed: find {} -name deploy",
                    build_dir.display()
                )
            }
            DeployError::Several(_) => {
                "one is another build's; move it out of the build directory".to_owned()
            }
        }
    }
}

/// The deploy directory of `machine`, for a variant that deploys `names`. Reads directories, so it
/// blocks.
///
/// # Errors
/// When there is none, or several hold such files.
pub fn find(build_dir: &Path, machine: &str, names: &[&str]) -> Result<PathBuf, DeployError> {
    let mut holding = Vec::new();
    let mut named = Vec::new();
    let mut queue = VecDeque::from([(build_dir.to_owned(), 0, false)]);
    let mut read = 0;
    while let Some((dir, depth, in_deploy)) = queue.pop_front() {
        read += 1;
        if read > MAX_DIRS {
            break;
        }
        if in_deploy {
            if names
                .iter()
                .any(|name| dir.join(name).symlink_metadata().is_ok())
            {
                holding.push(dir.clone());
            } else if dir.file_name().is_some_and(|name| name == machine) {
                named.push(dir.clone());
            }
        }
        if depth == MAX_DEPTH {
            continue;
        }
        // What may not be read is root's, such as a root file system.
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        let mut below: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter(|entry| !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped))
            .map(|entry| entry.path())
            .collect();
        below.sort();
        for path in below {
            let in_deploy = in_deploy || path.file_name().is_some_and(|name| name == "deploy");
            queue.push_back((path, depth + 1, in_deploy));
        }
    }
    let mut candidates = if holding.is_empty() { named } else { holding };
    match candidates.len() {
        0 => Err(DeployError::None {
            machine: machine.to_owned(),
            build_dir: build_dir.to_owned(),
        }),
        1 => Ok(candidates.remove(0)),
        _ => Err(DeployError::Several(candidates)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        dir
    }

    fn found(paths: &[&str]) -> String {
        let dir = tree(paths);
        let text = match find(dir.path(), "qemuamd64", &["i.wic", "i-vmlinuz"]) {
            Ok(path) => path.display().to_string(),
            Err(error) => format!("{error}\nhint: {}", error.hint()),
        };
        text.replace(dir.path().to_str().unwrap(), "DIR")
    }

    #[test]
    fn it_is_found_wherever_it_was_moved() {
        for place in [
            "tmp/deploy/images/qemuamd64",
            "tmp/deploy/images/qemuamd64-debian-bookworm",
            "tmp-debian/deploy/images/qemuamd64",
            "tmp/deploy",
            "out/x/deploy/images/qemuamd64",
        ] {
            let file = format!("{place}/i-vmlinuz");
            let other = "tmp/deploy/images/qemuarm64/i-arm64.wic";
            assert_eq!(found(&[&file, other]), format!("DIR/{place}"));
        }
    }

    #[test]
    fn an_empty_one_is_found_by_name() {
        assert_eq!(
            found(&["tmp/deploy/images/qemuamd64/else.wic"]),
            "DIR/tmp/deploy/images/qemuamd64"
        );
    }

    #[test]
    fn work_directories_and_links_are_not_entered() {
        let dir = tree(&[
            "tmp/work/deploy/images/qemuamd64/i.wic",
            "outside/deploy/i.wic",
        ]);
        let tmp = dir.path().join("tmp");
        std::os::unix::fs::symlink("../outside/deploy", tmp.join("deploy")).unwrap();
        assert!(find(&tmp, "qemuamd64", &["i.wic"]).is_err());
    }

    #[test]
    fn none_and_several_are_said() {
        let two = [
            "a/deploy/images/qemuamd64/i.wic",
            "b/deploy/images/qemuamd64/i-vmlinuz",
        ];
        insta::assert_snapshot!([found(&["tmp/x"]), found(&two)].join("\n"), @"
        no deploy directory of qemuamd64 under DIR
        hint: find where the build deployed: find DIR -name deploy
        several deploy directories hold files of this variant: DIR/a/deploy/images/qemuamd64, DIR/b/deploy/images/qemuamd64
        hint: one is another build's; move it out of the build directory
        ");
    }
}
