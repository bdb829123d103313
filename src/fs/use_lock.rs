//! Advisory locks with shared and exclusive holders.
//!
//! As in [`crate::fs::lock`], the lock is the kernel's, a dead process holds nothing, and the file is removed
//! on release, here by the last holder. Each holder adds a line with its name; lines of dead processes are
//! recognised by their process id.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::fs::lock::{Holder, LockError, elapsed, host};
use crate::fs::{PathError, is_at};

/// The way in which a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Together with other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

/// Minimum wait, even for `wait = 0`: another process may briefly hold the file exclusively, to remove it.
const BREATH: Duration = Duration::from_millis(50);

/// A lock, held until dropped.
#[derive(Debug)]
pub struct UseLock {
    file: File,
    path: PathBuf,
}

impl UseLock {
    /// Acquires the lock, waiting up to `wait`. The directory must exist.
    ///
    /// # Errors
    /// [`LockError::Held`] when an incompatible holder still has it at the end of the wait.
    pub fn acquire(
        path: &Path,
        sharing: Sharing,
        holder: &Holder,
        wait: Duration,
    ) -> Result<UseLock, LockError> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let tried = attempt(path, sharing, holder);
            if let Some(lock) = tried.map_err(PathError::on("lock", path))? {
                return Ok(lock);
            }
            if start.elapsed() >= wait.max(BREATH) {
                return Err(LockError::Held {
                    path: path.to_owned(),
                    holder: holders(path).into_iter().min_by_key(|holder| holder.since),
                    now: holder
                        .since
                        .saturating_add(elapsed(start))
                        .unwrap_or(holder.since),
                });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

fn attempt(path: &Path, sharing: Sharing, holder: &Holder) -> io::Result<Option<UseLock>> {
    let (file, writable) = open(path)?;
    let operation = match sharing {
        Sharing::Shared => FlockOperation::NonBlockingLockShared,
        Sharing::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    match flock(&file, operation) {
        Ok(()) if is_at(&file, path)? => {}
        Ok(()) | Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut lock = UseLock {
        file,
        path: path.to_owned(),
    };
    if writable {
        if sharing == Sharing::Exclusive {
            lock.file.set_len(0)?;
        }
        let mut line = serde_json::to_vec(holder).map_err(io::Error::other)?;
        line.push(b'\n');
        lock.file.write_all(&line)?;
    }
    Ok(Some(lock))
}

/// Opens the lock file, and creates it if it does not exist. A file of another user can be locked without write
/// access; the result says whether it is writable.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let flags =
        i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).map_err(io::Error::other)?;
    let writing = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o666)
        .custom_flags(flags)
        .open(path);
    match writing {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map(|file| (file, false))
            // The first error is the one to report: it says why the file cannot be created.
            .map_err(|_| error),
        other => other.map(|file| (file, true)),
    }
}

/// The holders that a lock file names, without those that are known to be dead.
#[must_use]
pub fn holders(path: &Path) -> Vec<Holder> {
    let this = host();
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Holder>(line).ok())
        .filter(|holder| {
            holder.host != this || Path::new("/proc").join(holder.pid.to_string()).exists()
        })
        .collect()
}

impl Drop for UseLock {
    fn drop(&mut self) {
        // An exclusive holder removes the name while no other process can have the lock. A process that has
        // opened the file meanwhile sees that its name is gone. The attempt may lose the lock, which is
        // released here anyway.
        let alone = flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if alone && is_at(&self.file, &self.path).unwrap_or(false) {
            // A name that stays does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn me(command: &str) -> Holder {
        Holder::this(command, "2026-11-22T03:00:00Z".parse().unwrap())
    }

    fn take(path: &Path, sharing: Sharing, command: &str) -> Result<UseLock, LockError> {
        UseLock::acquire(path, sharing, &me(command), Duration::ZERO)
    }

    #[test]
    fn many_share_it_and_one_has_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let one = take(&path, Sharing::Shared, "one").unwrap();
        let two = take(&path, Sharing::Shared, "two").unwrap();
        let error = take(&path, Sharing::Exclusive, "alone").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
        assert!(text.ends_with(": one"), "{text}");
        drop(one);
        assert!(take(&path, Sharing::Exclusive, "alone").is_err());
        drop(two);
        let alone = take(&path, Sharing::Exclusive, "alone").unwrap();
        let error = take(&path, Sharing::Shared, "one").unwrap_err();
        assert!(error.to_string().ends_with(": alone"), "{error}");
        drop(alone);
        assert!(!path.exists());
    }

    #[test]
    fn the_dead_hold_nothing_and_are_not_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let dead = Holder {
            pid: u32::MAX,
            ..me("dead")
        };
        fs::write(&path, serde_json::to_string(&dead).unwrap() + "\n").unwrap();
        assert!(holders(&path).is_empty());
        let _shared = take(&path, Sharing::Shared, "living").unwrap();
        let named: Vec<String> = holders(&path).into_iter().map(|h| h.command).collect();
        assert_eq!(named, ["living"]);
    }

    #[test]
    fn nobody_is_beside_one_who_is_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (sharing, alone) = (AtomicU32::new(0), AtomicU32::new(0));
        let patience = Duration::from_secs(60);
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let (path, sharing, alone) = (&path, &sharing, &alone);
                scope.spawn(move || {
                    for _ in 0..25 {
                        if worker == 0 {
                            let lock =
                                UseLock::acquire(path, Sharing::Exclusive, &me("x"), patience);
                            let lock = lock.unwrap();
                            assert_eq!(alone.fetch_add(1, Ordering::SeqCst), 0);
                            assert_eq!(sharing.load(Ordering::SeqCst), 0);
                            alone.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                        } else {
                            let lock = UseLock::acquire(path, Sharing::Shared, &me("s"), patience);
                            let lock = lock.unwrap();
                            sharing.fetch_add(1, Ordering::SeqCst);
                            assert_eq!(alone.load(Ordering::SeqCst), 0);
                            sharing.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                        }
                    }
                });
            }
        });
    }
}
