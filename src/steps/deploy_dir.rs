//! The deploy directory of a machine: finds it under a build directory.
//!
//! Usually it is `tmp/deploy/images/<machine>`. But ISAR 1.0 moved it, 1.1 moved it back, and TMPDIR can have any name.
//! So the search takes a directory below one named `deploy` that has the machine's name or holds a file that the
//! variant deploys. It does not enter work directories, which hold whole root file systems, and follows no links.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Directories that hold no deploy directory and may be large.
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

/// The depth of the search below the build directory: two levels more than the usual place.
const MAX_DEPTH: usize = 6;

/// The search reads at most this many directories; a build directory has some dozens besides the skipped ones.
const MAX_DIRS: usize = 10_000;

/// Why the deploy directory is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeployDirError {
    /// There is none.
    #[error("no deploy directory of {machine} under {}", build_dir.display())]
    None {
        /// The machine.
        machine: String,
        /// The directory that was searched.
        build_dir: PathBuf,
    },
    /// Several could be it.
    #[error(
        "several deploy directories hold files of this variant: {}",
        .0.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Several(Vec<PathBuf>),
}

impl DeployDirError {
    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            DeployDirError::None { build_dir, .. } => {
                format!(
                    "find where the build deployed: find {} -name deploy",
                    build_dir.display()
                )
            }
            DeployDirError::Several(_) => {
                "one belongs to another build; move it out of the build directory".to_owned()
            }
        }
    }
}

/// The deploy directory of `machine`, for a variant that deploys `names`. Blocking.
///
/// # Errors
/// [`DeployDirError`].
pub fn find(build_dir: &Path, machine: &str, names: &[&str]) -> Result<PathBuf, DeployDirError> {
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
        // Unreadable directories belong to root, such as those of a root file system.
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
        0 => Err(DeployDirError::None {
            machine: machine.to_owned(),
            build_dir: build_dir.to_owned(),
        }),
        1 => Ok(candidates.remove(0)),
        _ => Err(DeployDirError::Several(candidates)),
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
    fn deploy_directory_is_found_wherever_isar_moved_it() {
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
    fn deploy_directory_without_declared_files_is_found_by_name() {
        assert_eq!(
            found(&["tmp/deploy/images/qemuamd64/else.wic"]),
            "DIR/tmp/deploy/images/qemuamd64"
        );
    }

    #[test]
    fn search_enters_no_work_directory_and_follows_no_link() {
        let dir = tree(&[
            "tmp/work/deploy/images/qemuamd64/i.wic",
            "outside/deploy/i.wic",
        ]);
        let tmp = dir.path().join("tmp");
        std::os::unix::fs::symlink("../outside/deploy", tmp.join("deploy")).unwrap();
        assert!(find(&tmp, "qemuamd64", &["i.wic"]).is_err());
    }

    #[test]
    fn no_deploy_directory_and_several_are_errors() {
        let two = [
            "a/deploy/images/qemuamd64/i.wic",
            "b/deploy/images/qemuamd64/i-vmlinuz",
        ];
        insta::assert_snapshot!([found(&["tmp/x"]), found(&two)].join("\n"), @"
        no deploy directory of qemuamd64 under DIR
        hint: find where the build deployed: find DIR -name deploy
        several deploy directories hold files of this variant: DIR/a/deploy/images/qemuamd64, DIR/b/deploy/images/qemuamd64
        hint: one belongs to another build; move it out of the build directory
        ");
    }
}
