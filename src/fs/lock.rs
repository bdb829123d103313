//! Advisory lock files that say who holds them. Knows nothing of what they protect.
//!
//! The lock is the kernel's (`flock(2)`), so checking and taking it is one step and a dead process
//! holds nothing. The file's content is for people alone. The file is removed with its release; one who
//! waited for it sees that its name is gone or another's and begins again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::OFlags;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::fs::{PathError, is_at, try_lock};

/// Who holds a lock; one line of JSON in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The host that it runs on.
    pub host: String,
    /// What it does, as a command line.
    pub command: String,
    /// Since when.
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

/// How long a lock may outlive the process that took it: a child that it was about to start has the
/// lock's descriptor until it becomes another program.
const LAST_BREATH: Duration = Duration::from_secs(2);

impl Holder {
    /// Whether the process is known to have ended: it was on this host, and nobody has its number.
    fn is_gone(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        self.host == host()
            && pid.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
    }
}

pub(crate) fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Why a lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is held by {}", path.display(), describe(holder.as_ref(), *now))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who, where the file says it.
        holder: Option<Holder>,
        /// When it was given up.
        now: Timestamp,
    },
    /// We were told to stop while we waited for it.
    #[error("{} was waited for when the run was stopped", path.display())]
    Stopped {
        /// The lock file.
        path: PathBuf,
    },
    /// The system's answer.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl LockError {
    /// What to do about it, where we know.
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
                Some(format!("see who has it: fuser -v {}", path.display()))
            }
            LockError::Stopped { .. } => None,
            LockError::Path(error) => error.hint(),
        }
    }
}

fn describe(holder: Option<&Holder>, now: Timestamp) -> String {
    let Some(holder) = holder else {
        return "another process, which has not said its name yet".to_owned();
    };
    let age = age(holder.since, now);
    format!(
        "process {} on {} for {age}: {}",
        holder.pid, holder.host, holder.command
    )
}

/// A span in words, in its two largest units.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds} s"),
        _ => format!("{hours} h {minutes} min"),
    }
}

/// A lock that is held as long as this lives.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Takes the lock, waiting for it up to `wait`. The directory must be there.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process, or another part of this one, still has it then.
    pub fn acquire(path: &Path, holder: &Holder, wait: Duration) -> Result<LockFile, LockError> {
        Self::acquire_unless(path, holder, wait, &|| false)
    }

    /// The same, until `stop` says true.
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

/// Who a lock file says that holds it; it may be a dead one's.
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
        // First the name, then the lock (with the file): nobody can then have the lock of a file
        // whose name we remove. A name that stays does no harm.
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
