//! The ledger: which drives are unmounted now, and for whom. One for all runs of a user on this machine,
//! because the drives are the machine's: a drive comes back when the last who needs it away is done.
//!
//! Written and synced before anything is unmounted. Holders are told by process id and start time, so a dead
//! one counts for nothing. Knows nothing of how drives go and come.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::drive::Drive;
use crate::files::{PathError, parent, remove, replace, sync_dir};
use crate::state::lock::{Holder, LockError, LockFile};

/// What is unmounted, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Away {
    /// The start of the kernel in which they were unmounted.
    pub boot: String,
    /// The drives, in the order in which they are mounted again.
    pub drives: Vec<Drive>,
    /// Who needs them away.
    pub users: Vec<User>,
}

/// One who needs the drives away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The process.
    pub pid: u32,
    /// When it was started, in ticks of the kernel: its number can be another's later.
    pub started: u64,
    /// The build.
    pub build: String,
}

impl User {
    /// A build of this process.
    #[must_use]
    pub fn this(proc: &Path, build: &str) -> User {
        User {
            pid: std::process::id(),
            started: started(proc, std::process::id()).unwrap_or(0),
            build: build.to_owned(),
        }
    }

    /// Whether its process is there still.
    #[must_use]
    pub fn lives(&self, proc: &Path) -> bool {
        started(proc, self.pid) == Some(self.started)
    }
}

/// The 22nd field of `stat` (`proc_pid_stat(5)`); none for a zombie, which needs nothing any more.
fn started(proc: &Path, pid: u32) -> Option<u64> {
    let stat = fs::read(proc.join(pid.to_string()).join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    (!matches!(fields.next()?, "Z" | "X")).then_some(())?;
    fields.nth(18)?.parse().ok()
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The system's answer.
    #[error(transparent)]
    Path(#[from] PathError),
    /// It is somebody else's.
    #[error("{} belongs to another user", .0.display())]
    Foreign(PathBuf),
    /// It is not understood.
    #[error("{} is not understood: {source}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Another process mounts or unmounts and does not end.
    #[error(transparent)]
    Busy(LockError),
    /// The run was stopped meanwhile.
    #[error("the run was stopped")]
    Stopped,
}

impl LedgerError {
    /// What to do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            LedgerError::Path(error) => error.hint(),
            LedgerError::Foreign(path) => Some(format!("remove it: sudo rm -r {}", path.display())),
            LedgerError::Text { path, .. } => Some(format!(
                "remove it, then bring the drives back: rm {}; isar-build-all wsl remount",
                path.display()
            )),
            LedgerError::Busy(error) => error.hint(),
            LedgerError::Stopped => None,
        }
    }
}

/// The ledger, locked: nobody else mounts or unmounts drives as long as this lives.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    _lock: LockFile,
}

/// Where the entries are, below the ledger's directory.
fn path(dir: &Path) -> PathBuf {
    dir.join("drives.json")
}

/// What a ledger says now, without waiting for anybody; none where nothing is away.
///
/// # Errors
/// When it is there and cannot be read.
pub fn peek(dir: &Path) -> Result<Option<Away>, LedgerError> {
    match dir.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        _ => check_owner(dir)?,
    }
    read(&path(dir))
}

impl Ledger {
    /// Locks it, waiting up to `patience`, or until `stopped` says so.
    pub(super) fn lock(
        dir: &Path,
        patience: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Ledger, LedgerError> {
        make(dir)?;
        let holder = Holder::this("isar-build-all, drives of Windows", Timestamp::now());
        let begin = Instant::now();
        let lock = loop {
            let slice = Duration::from_millis(300);
            match LockFile::acquire(&dir.join("drives.lock"), &holder, slice) {
                Ok(lock) => break lock,
                Err(LockError::Path(error)) => return Err(error.into()),
                Err(_) if stopped() => return Err(LedgerError::Stopped),
                Err(error) if begin.elapsed() >= patience => return Err(LedgerError::Busy(error)),
                Err(_) => {}
            }
        };
        Ok(Ledger {
            path: path(dir),
            _lock: lock,
        })
    }

    pub(super) fn read(&self) -> Result<Option<Away>, LedgerError> {
        read(&self.path)
    }

    /// Puts it on the disk.
    pub(super) fn write(&self, away: &Away) -> Result<(), LedgerError> {
        let text = serde_json::to_vec_pretty(away).map_err(|source| LedgerError::Text {
            path: self.path.clone(),
            source,
        })?;
        Ok(replace(&self.path, &text, Some(0o600))?)
    }

    /// Nothing is away any more.
    pub(super) fn clear(&self) -> Result<(), LedgerError> {
        remove(&self.path)?;
        Ok(sync_dir(parent(&self.path))?)
    }
}

fn read(path: &Path) -> Result<Option<Away>, LedgerError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PathError::on("read", path)(error).into()),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| LedgerError::Text {
            path: path.to_owned(),
            source,
        })
}

/// What is in it is done as root, so it is ours alone, also in a directory that all may write to.
fn make(dir: &Path) -> Result<(), LedgerError> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(PathError::on("create directory", dir)(error).into())
        }
        _ => check_owner(dir),
    }
}

fn check_owner(dir: &Path) -> Result<(), LedgerError> {
    let there = dir
        .symlink_metadata()
        .map_err(PathError::on("look at", dir))?;
    let is_ours = there.is_dir()
        && there.uid() == rustix::process::geteuid().as_raw()
        && there.mode() & 0o022 == 0;
    if is_ours {
        Ok(())
    } else {
        Err(LedgerError::Foreign(dir.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> bool {
        false
    }

    #[test]
    fn it_is_kept_in_a_directory_of_our_own_alone() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = dir.path().join("ledger");
        assert_eq!(peek(&ledger).unwrap(), None);
        let locked = Ledger::lock(&ledger, Duration::ZERO, &never).unwrap();
        assert_eq!(ledger.metadata().unwrap().mode() & 0o777, 0o700);
        let away = Away {
            boot: "b".to_owned(),
            drives: Vec::new(),
            users: vec![User::this(Path::new("/proc"), "base")],
        };
        locked.write(&away).unwrap();
        assert_eq!(peek(&ledger).unwrap(), Some(away));
        locked.clear().unwrap();
        assert_eq!(peek(&ledger).unwrap(), None);

        // Someone else's, or one that others may write to, is not believed.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&ledger, &link).unwrap();
        assert!(matches!(peek(&link), Err(LedgerError::Foreign(_))));
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
        fs::set_permissions(&ledger, mode).unwrap();
        assert!(matches!(peek(&ledger), Err(LedgerError::Foreign(_))));
    }

    #[test]
    fn one_who_waits_for_it_can_be_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = dir.path().join("ledger");
        let _held = Ledger::lock(&ledger, Duration::ZERO, &never).unwrap();
        let stopped = Ledger::lock(&ledger, Duration::from_secs(60), &|| true).unwrap_err();
        assert!(matches!(stopped, LedgerError::Stopped));
        let busy = Ledger::lock(&ledger, Duration::ZERO, &never).unwrap_err();
        assert!(busy.to_string().contains("is held by process"), "{busy}");
    }

    #[test]
    fn a_user_is_alive_while_its_process_is_and_not_when_another_has_its_number() {
        let proc = Path::new("/proc");
        let mut user = User::this(proc, "base");
        assert!(user.lives(proc));
        user.started += 1;
        assert!(!user.lives(proc));
    }
}
