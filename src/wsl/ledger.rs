//! The ledger: which drives are unmounted now, and for which builds. All runs of a user on this
//! machine share one ledger, because they share the drives; the drives are mounted again when no
//! build needs them unmounted.
//!
//! It is written and synced before anything is unmounted. Builds are identified by process id and start time,
//! so builds of dead processes do not count.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exec::proc_stat;
use crate::fs::lock::{Holder, LockError, LockFile};
use crate::fs::{PathError, parent, remove, replace, sync_dir};
use crate::wsl::drive::WindowsDrive;

/// The unmounted drives, and the builds that need them unmounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmountedDrives {
    /// The boot id of the kernel that they were unmounted in.
    pub boot: String,
    /// The drives, in the order in which they are mounted again.
    pub drives: Vec<WindowsDrive>,
    /// The builds that need them unmounted.
    pub users: Vec<LeaseHolder>,
}

/// A build that needs the drives unmounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHolder {
    /// Process id of its run.
    pub pid: u32,
    /// Start time of that process in ticks since boot; the kernel reuses ids.
    pub started: u64,
    /// The name of the build.
    pub build: String,
}

impl LeaseHolder {
    /// A build of this process.
    #[must_use]
    pub fn of_this_process(proc: &Path, build: &str) -> LeaseHolder {
        LeaseHolder {
            pid: std::process::id(),
            started: started(proc, std::process::id()).unwrap_or(0),
            build: build.to_owned(),
        }
    }

    /// Whether its process is alive.
    #[must_use]
    pub fn is_alive(&self, proc: &Path) -> bool {
        started(proc, self.pid) == Some(self.started)
    }
}

/// The start time of a process that is alive, in clock ticks since boot.
fn started(proc: &Path, pid: u32) -> Option<u64> {
    let stat = proc_stat(&proc.join(pid.to_string()))?;
    stat.started.filter(|_| stat.is_alive())
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file operation failed.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The ledger's directory belongs to another user, or others can write to it.
    #[error("{} belongs to another user", .0.display())]
    Foreign(PathBuf),
    /// The ledger is not valid JSON of this format.
    #[error("cannot parse {}: {source}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// Another process has the ledger locked.
    #[error(transparent)]
    Busy(LockError),
    /// The run was stopped while it waited for the lock.
    #[error("the run was stopped")]
    Stopped,
}

impl LedgerError {
    /// A remedy, as a command where there is one.
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

/// The ledger, locked until dropped: no other process mounts or unmounts drives meanwhile.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    _lock: LockFile,
}

/// The file in the ledger's directory.
fn path(dir: &Path) -> PathBuf {
    dir.join("drives.json")
}

/// Reads a ledger without locking it; none where no drive is unmounted.
///
/// # Errors
/// When the ledger exists and cannot be read.
pub fn peek(dir: &Path) -> Result<Option<UnmountedDrives>, LedgerError> {
    match dir.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        _ => check_owner(dir)?,
    }
    read(&path(dir))
}

impl Ledger {
    /// Locks the ledger, waiting up to `patience` or until `stopped` returns true.
    pub(super) fn lock(
        dir: &Path,
        patience: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Ledger, LedgerError> {
        create(dir)?;
        let holder = Holder::this("isar-build-all, Windows drives", Timestamp::now());
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

    pub(super) fn read(&self) -> Result<Option<UnmountedDrives>, LedgerError> {
        read(&self.path)
    }

    /// Writes and syncs the ledger.
    pub(super) fn write(&self, unmounted: &UnmountedDrives) -> Result<(), LedgerError> {
        let text = serde_json::to_vec_pretty(unmounted).map_err(|source| LedgerError::Text {
            path: self.path.clone(),
            source,
        })?;
        Ok(replace(&self.path, &text, Some(0o600))?)
    }

    /// Removes the ledger: no drive is unmounted any more.
    pub(super) fn clear(&self) -> Result<(), LedgerError> {
        remove(&self.path)?;
        Ok(sync_dir(parent(&self.path))?)
    }
}

fn read(path: &Path) -> Result<Option<UnmountedDrives>, LedgerError> {
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

/// Creates the ledger's directory, accessible to this user only: root acts on what the ledger says,
/// and its parent directory is writable for everyone.
fn create(dir: &Path) -> Result<(), LedgerError> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(PathError::on("create directory", dir)(error).into())
        }
        _ => check_owner(dir),
    }
}

fn check_owner(dir: &Path) -> Result<(), LedgerError> {
    let metadata = dir
        .symlink_metadata()
        .map_err(PathError::on("look at", dir))?;
    let is_own = metadata.is_dir()
        && metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.mode() & 0o022 == 0;
    if is_own {
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
    fn the_ledger_is_trusted_only_in_a_directory_of_this_user() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = dir.path().join("ledger");
        assert_eq!(peek(&ledger).unwrap(), None);
        let locked = Ledger::lock(&ledger, Duration::ZERO, &never).unwrap();
        assert_eq!(ledger.metadata().unwrap().mode() & 0o777, 0o700);
        let unmounted = UnmountedDrives {
            boot: "b".to_owned(),
            drives: Vec::new(),
            users: vec![LeaseHolder::of_this_process(Path::new("/proc"), "base")],
        };
        locked.write(&unmounted).unwrap();
        assert_eq!(peek(&ledger).unwrap(), Some(unmounted));
        locked.clear().unwrap();
        assert_eq!(peek(&ledger).unwrap(), None);

        // A link, or a directory that others can write to, is refused.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&ledger, &link).unwrap();
        assert!(matches!(peek(&link), Err(LedgerError::Foreign(_))));
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
        fs::set_permissions(&ledger, mode).unwrap();
        assert!(matches!(peek(&ledger), Err(LedgerError::Foreign(_))));
    }

    #[test]
    fn waiting_for_the_ledger_ends_with_the_runs_stop() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = dir.path().join("ledger");
        let _held = Ledger::lock(&ledger, Duration::ZERO, &never).unwrap();
        let stopped = Ledger::lock(&ledger, Duration::from_secs(60), &|| true).unwrap_err();
        assert!(matches!(stopped, LedgerError::Stopped));
        let busy = Ledger::lock(&ledger, Duration::ZERO, &never).unwrap_err();
        assert!(busy.to_string().contains("is held by process"), "{busy}");
    }

    #[test]
    fn a_lease_holder_with_a_reused_process_id_is_not_alive() {
        let proc = Path::new("/proc");
        let mut holder = LeaseHolder::of_this_process(proc, "base");
        assert!(holder.is_alive(proc));
        holder.started += 1;
        assert!(!holder.is_alive(proc));
    }
}
