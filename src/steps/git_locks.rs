//! Stale git locks: a `config.lock` that a killed git process left in a clone fails every later build that uses the clone.
//!
//! A lock file of git does not name its holder. In the work directory of a variant, every lock is stale while the
//! variant's build is about to start, because no other process works there. Reference clones are shared: there a lock is
//! stale when it is older than git ever holds one and no process has it open.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The least age of a stale lock in a shared clone. git holds a lock for milliseconds, or has it open.
const AGE: Duration = Duration::from_secs(5);

/// The stale locks in the clones of a work directory that no process uses, and in shared clones. Blocking: waits until a
/// young lock of a shared clone is gone or old.
pub(crate) fn stale(work: &Path, shared: &Path) -> Vec<PathBuf> {
    let mut stale: Vec<PathBuf> = clones(work).iter().flat_map(|clone| locks(clone)).collect();
    stale.extend(outlived(directories(shared)));
    stale
}

/// The stale locks in repositories that other processes may use. Blocking, as [`stale`] is.
pub(crate) fn outlived(repositories: Vec<PathBuf>) -> Vec<PathBuf> {
    let locks = repositories.iter().flat_map(|repository| locks(repository));
    locks.filter(|lock| outlives_its_git(lock)).collect()
}

/// The git directories of the clones in a work directory.
pub(crate) fn clones(work: &Path) -> Vec<PathBuf> {
    let clones = directories(work).into_iter();
    clones.map(|clone| clone.join(".git")).collect()
}

/// Whether no process uses a lock that stays.
fn outlives_its_git(lock: &Path) -> bool {
    loop {
        let Ok(written) = fs::symlink_metadata(lock).and_then(|there| there.modified()) else {
            return false;
        };
        // A time in the future: the clock was set back since.
        let age = SystemTime::now().duration_since(written).unwrap_or(AGE);
        let Some(young) = AGE.checked_sub(age).filter(|left| !left.is_zero()) else {
            return !is_open(lock);
        };
        std::thread::sleep(young.min(Duration::from_millis(100)));
    }
}

/// Whether any process that can be inspected has a file open. Compares device and inode: in a container the path is
/// another.
fn is_open(path: &Path) -> bool {
    let Ok(file) = fs::metadata(path).map(identity) else {
        return false;
    };
    let descriptors = |process: &Path| fs::read_dir(process.join("fd"));
    directories(Path::new("/proc")).iter().any(|process| {
        descriptors(process)
            .into_iter()
            .flatten()
            .flatten()
            .any(|descriptor| {
                fs::metadata(descriptor.path()).is_ok_and(|open| identity(open) == file)
            })
    })
}

fn identity(file: fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// The lock files of a repository: of its top directory, its references, and its alternates.
fn locks(repository: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (dir, deep) in [("", false), ("refs", true), ("objects/info", true)] {
        collect(&repository.join(dir), deep, &mut found);
    }
    found.sort();
    found
}

fn collect(dir: &Path, deep: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && deep => collect(&path, deep, found),
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|end| end == "lock") => {
                found.push(path);
            }
            _ => {}
        }
    }
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn git(dir: &Path, words: &[&str]) -> bool {
        let git = Command::new("git").arg("-C").arg(dir).args(words).output();
        git.unwrap().status.success()
    }

    fn age(path: &Path, seconds: u64) {
        let file = fs::File::options().append(true).open(path).unwrap();
        let then = SystemTime::now() - Duration::from_secs(seconds);
        file.set_modified(then).unwrap();
    }

    #[test]
    fn only_locks_without_a_living_holder_are_stale() {
        let dir = tempfile::tempdir().unwrap();
        let (work, repo_ref) = (dir.path().join("work"), dir.path().join("ref"));
        assert_eq!(stale(&work, &repo_ref), Vec::<PathBuf>::new());
        let (clone, shared) = (work.join("isar"), repo_ref.join("isar.git"));
        assert!(git(dir.path(), &["init", "-q", clone.to_str().unwrap()]));
        assert!(git(
            dir.path(),
            &["init", "-q", "--bare", shared.to_str().unwrap()]
        ));
        let configure = ["config", "a.b", "c"];
        let left = [
            clone.join(".git/config.lock"),
            clone.join(".git/refs/heads/x.lock"),
            shared.join("config.lock"),
        ];
        for lock in &left {
            fs::write(lock, "").unwrap();
        }
        age(&left[2], 60);
        let open = shared.join("packed-refs.lock");
        let held = fs::File::create(&open).unwrap();
        age(&open, 60);
        assert!(!git(&clone, &configure) && !git(&shared, &configure));
        let mut removed = stale(&work, &repo_ref);
        removed.sort();
        for lock in &removed {
            fs::remove_file(lock).unwrap();
        }
        let mut expected = left.to_vec();
        expected.sort();
        assert_eq!(removed, expected);
        assert!(git(&clone, &configure) && git(&shared, &configure));
        assert!(open.exists());
        drop(held);
        assert_eq!(stale(&work, &repo_ref), [open]);
    }

    #[test]
    fn a_young_lock_of_a_shared_clone_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("config.lock");
        fs::write(&lock, "").unwrap();
        let remover = {
            let lock = lock.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                fs::remove_file(lock).unwrap();
            })
        };
        assert!(!outlives_its_git(&lock));
        remover.join().unwrap();
    }
}
