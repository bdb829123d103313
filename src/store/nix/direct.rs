//! Puts a file into a Nix store that is ours, without Nix: into its directory, and into its database. Knows
//! nothing of what is in the file.
//!
//! The database is Nix's own affair, so this is for who asks for it, only where its schema is the one that
//! is known here, and `nix-store` checks the result afterwards. The order and the locks
//! are those of `LocalStore::addToStoreFromDump` in Nix's `src/libstore/local-store.cc`: the collector is
//! held back by a shared lock on `gc.lock` (our [`Hold`]), a change of the schema by one on `db/big-lock`,
//! and who adds the same path by `<path>.lock`. Under these: is it valid by now? Else the file gets mode
//! 0444 and the modification time 1, takes the place of whatever lies at the path, and gets its row. A death
//! between the two leaves a file that is not valid, which the next who adds it replaces. As with Nix, its
//! content is not synced.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, params};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::base::hex;
use crate::base::nix32;
use crate::event::ArtifactOrigin;
use crate::fs::{PathError, remove, with_suffix};
use crate::store::copy::{CopyError, Stop};
use crate::store::error::StoreError;
use crate::store::nar;
use crate::store::nix::{NixStore, POLL, open_lock, text};
use crate::store::{Captured, Hold, STAGING};

/// The version of the schema that is known here.
const SCHEMA: &str = "10";

/// How long a write waits for another process's.
const BUSY: Duration = Duration::from_secs(60);

impl NixStore {
    /// Why files cannot be put there directly; none where they can. That the store is ours is for the
    /// caller to know.
    #[must_use]
    pub fn not_direct(&self) -> Option<String> {
        let schema = self.state_dir.join("db/schema");
        match fs::read_to_string(&schema) {
            Ok(version) if version.trim() == SCHEMA => {}
            Ok(version) => {
                let version = version.trim();
                return Some(format!(
                    "its database has schema {version}, and only {SCHEMA} is known"
                ));
            }
            Err(error) => return Some(format!("{} cannot be read: {error}", schema.display())),
        }
        let lock = self.gc_lock();
        open_lock(&lock)
            .err()
            .map(|error| format!("{} cannot be opened: {error}", lock.display()))
    }

    /// The directory that files of a run are copied into: in the store, from where they are moved in one
    /// instant. The collector takes it as what it does not know.
    pub(in crate::store) fn staging(&self, run: &str) -> PathBuf {
        self.store_dir.join(format!("{STAGING}{run}"))
    }

    /// Whether a file lies where it can be moved from.
    pub(super) fn is_staged_for_us(&self, captured: &Captured) -> bool {
        self.direct && captured.staged && captured.path.starts_with(&self.store_dir)
    }

    /// Moves a staged file to its path and registers it.
    pub(super) fn put_directly(
        &self,
        hold: &Hold,
        captured: &Captured,
        store_path: &Path,
    ) -> Result<ArtifactOrigin, StoreError> {
        let (Some(nar_sha256), Some(_)) = (&captured.nar_sha256, &hold.lock) else {
            return Err(StoreError::NotDirect(
                "the collector is not held back, or the archive's hash is missing".to_owned(),
            ));
        };
        let _schema = shared(&self.state_dir.join("db/big-lock"), &|| hold.is_stopped())?;
        if let Some(why) = self.not_direct() {
            return Err(StoreError::NotDirect(why));
        }
        let lock = PathLock::take(store_path, &|| hold.is_stopped())?;
        let mut database = self.database()?;
        let of_database = |source| StoreError::Database {
            path: self.database_path(),
            source,
        };
        let name = text(store_path)?;
        let how = if is_valid(&database, name).map_err(of_database)? {
            ArtifactOrigin::AlreadyValid
        } else {
            canonical(&captured.path)?;
            if store_path
                .symlink_metadata()
                .is_ok_and(|there| there.is_dir())
            {
                fs::remove_dir_all(store_path).map_err(PathError::on("remove", store_path))?;
            }
            fs::rename(&captured.path, store_path).map_err(PathError::on("move to", store_path))?;
            register(&mut database, name, captured, nar_sha256).map_err(of_database)?;
            ArtifactOrigin::Added
        };
        lock.remove()?;
        Ok(how)
    }

    fn database_path(&self) -> PathBuf {
        self.state_dir.join("db/db.sqlite")
    }

    fn database(&self) -> Result<Connection, StoreError> {
        let path = self.database_path();
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&path, flags)?;
            connection.busy_timeout(BUSY)?;
            connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON")?;
            Ok(connection)
        };
        open().map_err(|source| StoreError::Database {
            path: path.clone(),
            source,
        })
    }
}

/// Mode and times as every file in a store has them.
fn canonical(path: &Path) -> Result<(), PathError> {
    let epoch = UNIX_EPOCH + Duration::from_secs(1);
    fs::set_permissions(path, fs::Permissions::from_mode(0o444))
        .map_err(PathError::on("set the mode of", path))?;
    File::open(path)
        .and_then(|file| file.set_times(FileTimes::new().set_accessed(epoch).set_modified(epoch)))
        .map_err(PathError::on("set the times of", path))
}

fn is_valid(database: &Connection, path: &str) -> rusqlite::Result<bool> {
    database
        .query_row("SELECT 1 FROM ValidPaths WHERE path = ?1", [path], |_| {
            Ok(())
        })
        .optional()
        .map(|found| found.is_some())
}

/// The row that `nix-store --add-fixed sha256` makes.
fn register(
    database: &mut Connection,
    path: &str,
    captured: &Captured,
    nar_sha256: &[u8; 32],
) -> rusqlite::Result<()> {
    let bytes = captured.bytes;
    let frame = nar::header(bytes, false).len() + nar::trailer(bytes).len();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(
        "INSERT INTO ValidPaths (path, hash, registrationTime, narSize, ca)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            path,
            format!("sha256:{}", hex::encode(nar_sha256)),
            now.cast_signed(),
            (bytes + frame as u64).cast_signed(),
            format!("fixed:sha256:{}", nix32::encode(&captured.sha256)),
        ],
    )?;
    transaction.commit()
}

/// Takes a shared lock on a file that is there.
fn shared(path: &Path, stop: Stop<'_>) -> Result<File, StoreError> {
    let file = open_lock(path).map_err(PathError::on("open", path))?;
    wait(path, &file, FlockOperation::NonBlockingLockShared, stop)?;
    Ok(file)
}

fn wait(
    path: &Path,
    file: &File,
    operation: FlockOperation,
    stop: Stop<'_>,
) -> Result<(), StoreError> {
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if stop() => {
                return Err(CopyError::Stopped(path.to_owned()).into());
            }
            Err(Errno::WOULDBLOCK) => std::thread::sleep(POLL),
            Err(error) => return Err(PathError::on("lock", path)(error).into()),
        }
    }
}

/// Nix's lock on a store path (`src/libstore/pathlocks.cc`): who is done removes the file and writes to it,
/// so that one who waited for the removed file can tell.
struct PathLock {
    file: File,
    path: PathBuf,
}

impl PathLock {
    fn take(store_path: &Path, stop: Stop<'_>) -> Result<PathLock, StoreError> {
        let path = with_suffix(store_path, ".lock");
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(PathError::on("open", &path))?;
            wait(&path, &file, FlockOperation::NonBlockingLockExclusive, stop)?;
            let metadata = file.metadata().map_err(PathError::on("read", &path))?;
            if metadata.len() == 0 {
                return Ok(PathLock { file, path });
            }
        }
    }

    fn remove(mut self) -> Result<(), PathError> {
        remove(&self.path)?;
        self.file
            .write_all(b"d")
            .map_err(PathError::on("write", &self.path))
    }
}
