//! Exclusive advisory lock files that name their holder.
//!
//! The lock is the kernel's (`flock(2)`): check and acquisition are one step, and a dead process holds nothing.
//! The content of the file is for messages only. The holder removes the file on release; a waiter then sees
//! that its open file no longer has that name, and starts again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::fs::{PathError, is_at};

/// The holder of a lock; one line of JSON in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process id.
    pub pid: u32,
    /// The host of the process.
    pub host: String,
    /// The command line.
    pub command: String,
    /// The time of the acquisition.
    pub since: Timestamp,
}

impl Holder {
    /// This process.
    #[must_use]
    pub fn this(command: &str, since: Timestamp) -> Holder {
        Holder {
            pid: std::process::id(),
            host: host(),
            command: command.to_owned(),
            since,
        }
    }
}

/// A lock may outlive the process that took it by this time: a child that was about to start has the lock's
/// descriptor until its exec.
const LAST_BREATH: Duration = Duration::from_secs(2);

impl Holder {
    /// Whether the process is known to have ended: it was on this host, and no process has its number.
    fn is_gone(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        self.host == host() && pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
    }
}

pub(crate) fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Why a lock was not acquired.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is held by {}", path.display(), describe(holder.as_ref(), *now))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The holder, if the file names one.
        holder: Option<Holder>,
        /// The time at which the wait ended.
        now: Timestamp,
    },
    /// The run was stopped during the wait.
    #[error("the run was stopped while it waited for {}", path.display())]
    Stopped {
        /// The lock file.
        path: PathBuf,
    },
    /// An error of the file system.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl LockError {
    /// The remedy, if one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            LockError::Held {
                holder: Some(holder),
                ..
            } => {
                let place = if holder.host == host() {
                    String::new()
                } else {
                    format!("ssh {} ", holder.host)
                };
                Some(format!(
                    "wait for its end, or stop it: {place}kill {}",
                    holder.pid
                ))
            }
            LockError::Held { path, .. } => {
                Some(format!("find its holder: fuser -v {}", path.display()))
            }
            LockError::Stopped { .. } => None,
            LockError::Path(error) => error.hint(),
        }
    }
}

fn describe(holder: Option<&Holder>, now: Timestamp) -> String {
    let Some(holder) = holder else {
        return "another process, which has not written its name yet".to_owned();
    };
    let age = age(holder.since, now);
    format!(
        "process {} on {} for {age}: {}",
        holder.pid, holder.host, holder.command
    )
}

/// A duration in words, in its two largest units.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds} s"),
        _ => format!("{hours} h {minutes} min"),
    }
}

/// Tries to lock an open file exclusively; false if another holder has it.
///
/// # Errors
/// Errors of the file system.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A lock, held until dropped.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Acquires the lock, waiting up to `wait`. The directory must exist.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process, or another part of this one, holds it at the end of the wait.
    pub fn acquire(path: &Path, holder: &Holder, wait: Duration) -> Result<LockFile, LockError> {
        Self::acquire_unless(path, holder, wait, &|| false)
    }

    /// As [`LockFile::acquire`], but ends the wait when `stop` returns true.
    ///
    /// # Errors
    /// As [`LockFile::acquire`], and [`LockError::Stopped`].
    pub fn acquire_unless(
        path: &Path,
        holder: &Holder,
        wait: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Result<LockFile, LockError> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(lock) = attempt(path, holder).map_err(PathError::on("lock", path))? {
                return Ok(lock);
            }
            if stop() {
                return Err(LockError::Stopped {
                    path: path.to_owned(),
                });
            }
            let there = read_holder(path);
            let limit = match &there {
                Some(there) if there.is_gone() => wait.max(LAST_BREATH),
                _ => wait,
            };
            if start.elapsed() >= limit {
                return Err(LockError::Held {
                    path: path.to_owned(),
                    holder: there,
                    now: holder
                        .since
                        .saturating_add(elapsed(start))
                        .unwrap_or(holder.since),
                });
            }
            std::thread::sleep(pause.min(limit.saturating_sub(start.elapsed())));
            // Short at first for locks that are held for milliseconds, but never a busy loop.
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

pub(crate) fn elapsed(start: Instant) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(start.elapsed()).unwrap_or_default()
}

fn attempt(path: &Path, holder: &Holder) -> io::Result<Option<LockFile>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(i32::try_from(flags).map_err(io::Error::other)?)
        .open(path)?;
    if !try_lock(&file)? || !is_at(&file, path)? {
        return Ok(None);
    }
    let mut lock = LockFile {
        file,
        path: path.to_owned(),
    };
    lock.file.set_len(0)?;
    let mut line = serde_json::to_vec(holder).map_err(io::Error::other)?;
    line.push(b'\n');
    lock.file.write_all(&line)?;
    Ok(Some(lock))
}

/// The holder that a lock file names; it may be dead.
#[must_use]
pub fn read_holder(path: &Path) -> Option<Holder> {
    let mut text = String::new();
    File::open(path)
        .ok()?
        .take(64 * 1024)
        .read_to_string(&mut text)
        .ok()?;
    serde_json::from_str(&text).ok()
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // The name goes first, then the lock (with the file). So no process can lock a file under a name that
        // is about to be removed. A name that stays does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn holder(command: &str) -> Holder {
        Holder {
            pid: 4711,
            host: "build1".to_owned(),
            command: command.to_owned(),
            since: "2026-06-01T12:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_lock_that_a_dead_process_left_to_a_child_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let dead = Holder {
            pid: child.id(),
            ..Holder::this("killed", "2026-06-01T12:00:00Z".parse().unwrap())
        };
        let lock = LockFile::acquire(&path, &dead, Duration::ZERO).unwrap();
        let child_of_the_dead = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(lock);
        });
        LockFile::acquire(&path, &holder("next"), Duration::ZERO).unwrap();
        child_of_the_dead.join().unwrap();
    }

    #[test]
    fn a_held_lock_names_its_holder_and_age() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let first =
            LockFile::acquire(&path, &holder("isar-build-all -j 4"), Duration::ZERO).unwrap();
        let mut out = String::new();
        for (hours, minutes, seconds) in [(0, 0, 7), (0, 2, 3), (49, 5, 1)] {
            let mut later = holder("second");
            later.since += jiff::SignedDuration::from_secs(hours * 3600 + minutes * 60 + seconds);
            let error = LockFile::acquire(&path, &later, Duration::ZERO).unwrap_err();
            out += &format!("{error}\nhint: {}\n", error.hint().unwrap());
        }
        insta::assert_snapshot!(out.replace(dir.path().to_str().unwrap(), "DIR"), @"
        DIR/x.lock is held by process 4711 on build1 for 7 s: isar-build-all -j 4
        hint: wait for its end, or stop it: ssh build1 kill 4711
        DIR/x.lock is held by process 4711 on build1 for 2 min 3 s: isar-build-all -j 4
        hint: wait for its end, or stop it: ssh build1 kill 4711
        DIR/x.lock is held by process 4711 on build1 for 49 h 5 min: isar-build-all -j 4
        hint: wait for its end, or stop it: ssh build1 kill 4711
        ");
        drop(first);
        assert!(!path.exists());
        let this = Holder::this("me", holder("").since);
        let first = LockFile::acquire(&path, &this, Duration::ZERO).unwrap();
        let error = LockFile::acquire(&path, &holder("second"), Duration::ZERO).unwrap_err();
        assert_eq!(
            error.hint().unwrap(),
            format!("wait for its end, or stop it: kill {}", std::process::id())
        );
        drop(first);
    }

    #[test]
    fn a_dead_holders_file_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        fs::write(&path, serde_json::to_string(&holder("dead")).unwrap()).unwrap();
        let _lock = LockFile::acquire(&path, &holder("living"), Duration::ZERO).unwrap();
        assert_eq!(read_holder(&path).unwrap().command, "living");
    }

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let (inside, total) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = LockFile::acquire(&path, &holder("t"), Duration::from_secs(60))
                            .unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        total.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 400);
        assert!(!path.exists());
    }
}
