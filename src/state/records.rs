//! The records: runs, builds, registrations and input keys in one SQLite database.
//!
//! Every method blocks, for up to [`BUSY`] while another process writes: async code uses a
//! [`RecordsHandle`](crate::state::handle::RecordsHandle). One connection behind a lock; several processes may write.

pub mod deploys;
pub mod keys;
pub mod measures;
pub mod products;
mod silences;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, params};
use thiserror::Error;

use crate::base::hex;
use crate::event::outcome::Outcome;
use crate::exec::BlockingError;
use crate::matrix::VariantKey;
use crate::store::Captured;

/// The migrations of the schema. Version N is the schema after the first N; a released text never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/1.sql"),
    include_str!("schema/2-deploy-states.sql"),
    include_str!("schema/3-keys.sql"),
    include_str!("schema/4-silences.sql"),
    include_str!("schema/5-sources.sql"),
    include_str!("schema/6-build-measures.sql"),
    include_str!("schema/7-products.sql"),
    include_str!("schema/8-doubts.sql"),
];

/// How long a call waits for a write of another process.
const BUSY: Duration = Duration::from_secs(30);

/// Why records cannot be read or written.
#[derive(Debug, Error)]
pub enum RecordsError {
    /// An error of SQLite.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// The error.
        source: rusqlite::Error,
    },
    /// A later version of this tool wrote the database.
    #[error(
        "{} has schema version {found}; this version of isar-build-all knows {}",
        path.display(),
        MIGRATIONS.len()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its schema version.
        found: usize,
    },
    /// A path that is not UTF-8, which a column of text cannot hold.
    #[error("{} is not valid UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// A call through a [`RecordsHandle`](crate::state::handle::RecordsHandle) has no result.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl RecordsError {
    /// A remedy, if one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            RecordsError::Newer { .. } => {
                Some("use the version that wrote it, or another --state-dir".to_owned())
            }
            RecordsError::Sqlite { path, source } => match source.sqlite_error_code()? {
                rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase => {
                    Some(format!(
                        "move it away; only history is lost: mv {0} {0}.broken",
                        path.display()
                    ))
                }
                rusqlite::ErrorCode::DiskFull => {
                    Some(format!("free disk space: df -h {}", path.display()))
                }
                rusqlite::ErrorCode::SystemIoFailure => Some(format!(
                    "check whether the disk is full: df -h {}",
                    path.display()
                )),
                rusqlite::ErrorCode::ReadOnly
                | rusqlite::ErrorCode::CannotOpen
                | rusqlite::ErrorCode::PermissionDenied => Some(format!(
                    "check the permissions: namei -l {}",
                    path.display()
                )),
                _ => None,
            },
            RecordsError::NotUtf8(_) | RecordsError::Blocking(_) => None,
        }
    }
}

/// A build at its start.
#[derive(Debug, Clone, Copy)]
pub struct BuildStart<'a> {
    /// The id of the run.
    pub run: &'a str,
    /// The variant.
    pub variant: &'a VariantKey,
    /// KAS_BUILD_DIR.
    pub build_dir: &'a Path,
    /// The chain, as on kas' command line.
    pub kas: &'a str,
    /// The file names that it may deploy.
    pub deploy_names: &'a [String],
    /// The start time.
    pub started: Timestamp,
}

/// The id of a build in the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildId(i64);

/// An artifact that is registered.
#[derive(Debug, Clone, Copy)]
pub struct Registered<'a> {
    /// The captured file.
    pub captured: &'a Captured,
    /// Its store path.
    pub store_path: &'a Path,
}

/// The last registration of a unique name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRecord {
    /// The variant.
    pub variant: VariantKey,
    /// The id of the run that registered it.
    pub run: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Its store path.
    pub store_path: PathBuf,
    /// The time of the registration.
    pub registered_at: Timestamp,
    /// The inode of the file that was captured.
    pub source_inode: u64,
    /// The change time of that file: seconds and nanoseconds since 1970.
    pub source_ctime: (i64, i64),
}

/// The records.
#[derive(Debug)]
pub struct Records {
    connection: Mutex<Connection>,
    path: PathBuf,
}

impl Records {
    /// Opens the database; creates it or migrates its schema.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub fn open(path: &Path) -> Result<Records, RecordsError> {
        let fault = |source| RecordsError::Sqlite {
            path: path.to_owned(),
            source,
        };
        let mut connection = Connection::open(path).map_err(fault)?;
        connection.busy_timeout(BUSY).map_err(fault)?;
        // Not WAL: its index is mapped memory, and on a full disk a write to it raises SIGBUS.
        patiently(|| connection.query_row("PRAGMA journal_mode = TRUNCATE", [], |_| Ok(())))
            .and_then(|()| {
                connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
            })
            .map_err(fault)?;
        let found = migrate(&mut connection).map_err(fault)?;
        if found > MIGRATIONS.len() {
            return Err(RecordsError::Newer {
                path: path.to_owned(),
                found,
            });
        }
        Ok(Records {
            connection: Mutex::new(connection),
            path: path.to_owned(),
        })
    }

    /// Empty records in memory, for a project without a database.
    ///
    /// # Errors
    /// When SQLite cannot open it.
    pub fn in_memory() -> Result<Records, RecordsError> {
        Records::open(Path::new(":memory:"))
    }

    /// Opens a database read-only, without creating or migrating it. `None` without a database, or with one of
    /// another schema version: for estimates, which work without records.
    ///
    /// # Errors
    /// When SQLite cannot read it.
    pub fn read(path: &Path) -> Result<Option<Records>, RecordsError> {
        if !path.exists() {
            return Ok(None);
        }
        let fault = |source| RecordsError::Sqlite {
            path: path.to_owned(),
            source,
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
        connection.busy_timeout(BUSY).map_err(fault)?;
        let version: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(fault)?;
        let known = usize::try_from(version) == Ok(MIGRATIONS.len());
        Ok(known.then(|| Records {
            connection: Mutex::new(connection),
            path: path.to_owned(),
        }))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> impl Fn(rusqlite::Error) -> RecordsError + '_ {
        |source| RecordsError::Sqlite {
            path: self.path.clone(),
            source,
        }
    }

    /// Records the start of a run.
    ///
    /// # Errors
    /// When SQLite cannot read or write.
    pub fn record_run_started(
        &self,
        run: &str,
        command: &str,
        at: Timestamp,
    ) -> Result<(), RecordsError> {
        self.connection()
            .execute(
                "INSERT INTO runs (id, command, started) VALUES (?1, ?2, ?3)",
                params![run, command, at.to_string()],
            )
            .map(drop)
            .map_err(self.fault())
    }

    /// Records the end of a run, with the outcome of its last event.
    ///
    /// # Errors
    /// When SQLite cannot read or write.
    pub fn record_run_finished(
        &self,
        run: &str,
        outcome: &str,
        at: Timestamp,
    ) -> Result<(), RecordsError> {
        self.connection()
            .execute(
                "UPDATE runs SET finished = ?2, outcome = ?3 WHERE id = ?1",
                params![run, at.to_string(), outcome],
            )
            .map(drop)
            .map_err(self.fault())
    }

    /// Records the start of a build. Until it succeeds, the files that it may deploy have no owner.
    ///
    /// # Errors
    /// When SQLite cannot write, and for a build directory that is not UTF-8.
    pub fn record_build_started(&self, start: &BuildStart<'_>) -> Result<BuildId, RecordsError> {
        let build_dir = text(start.build_dir)?;
        let mut connection = self.connection();
        let insert = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT INTO builds (run, machine, variant, build_dir, kas, started)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    start.run,
                    start.variant.machine,
                    start.variant.id,
                    build_dir,
                    start.kas,
                    start.started.to_string()
                ],
            )?;
            let id = transaction.last_insert_rowid();
            // Until it is registered, the variant has no input key.
            for statement in [
                "DELETE FROM keys WHERE machine = ?1 AND variant = ?2",
                "DELETE FROM doubts WHERE machine = ?1 AND variant = ?2",
            ] {
                transaction.execute(statement, params![start.variant.machine, start.variant.id])?;
            }
            for name in start.deploy_names {
                transaction.execute(
                    "INSERT OR IGNORE INTO build_deploys (build, deploy_name) VALUES (?1, ?2)",
                    params![id, name],
                )?;
            }
            transaction.commit()?;
            Ok(BuildId(id))
        };
        insert(&mut connection).map_err(self.fault())
    }

    /// Records the end of a build, and its duration in seconds.
    ///
    /// # Errors
    /// When SQLite cannot read or write.
    pub fn record_build_finished(
        &self,
        build: BuildId,
        outcome: Outcome,
        seconds: f64,
        at: Timestamp,
    ) -> Result<(), RecordsError> {
        self.connection()
            .execute(
                "UPDATE builds SET finished = ?2, outcome = ?3, seconds = ?4 WHERE id = ?1",
                params![build.0, at.to_string(), outcome.as_str(), seconds],
            )
            .map(drop)
            .map_err(self.fault())
    }

    /// Records the registration of a variant's artifacts, in one transaction.
    ///
    /// # Errors
    /// When SQLite cannot read or write.
    pub fn record_registered(
        &self,
        run: &str,
        variant: &VariantKey,
        artifacts: &[Registered<'_>],
        at: Timestamp,
    ) -> Result<(), RecordsError> {
        let mut connection = self.connection();
        let insert = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for Registered {
                captured,
                store_path,
            } in artifacts
            {
                transaction.execute(
                    "INSERT INTO artifacts (run, machine, variant, type, unique_name, deploy_name,
                        bytes, sha256, store_path, registered, source_inode, source_ctime,
                        source_ctime_ns, source_device, source_mtime, source_mtime_ns)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
                    params![
                        run,
                        variant.machine,
                        variant.id,
                        captured.kind,
                        captured.unique_name,
                        captured.deploy_name,
                        captured.bytes.cast_signed(),
                        hex::encode(&captured.sha256),
                        store_path.to_string_lossy(),
                        at.to_string(),
                        captured.source.inode.cast_signed(),
                        captured.source.ctime.0,
                        captured.source.ctime.1,
                        captured.source.device.cast_signed(),
                        captured.source.mtime.0,
                        captured.source.mtime.1,
                    ],
                )?;
            }
            transaction.commit()
        };
        insert(&mut connection).map_err(self.fault())
    }

    /// The owner of the file `deploy_name` in a build directory: the variant of the last build that may have deployed
    /// it, if that build succeeded. After a build that failed or was killed, which may have written some of its files,
    /// the file has no owner.
    ///
    /// # Errors
    /// When SQLite cannot read, and for a build directory that is not UTF-8.
    pub fn owner_of_deploy(
        &self,
        build_dir: &Path,
        deploy_name: &str,
    ) -> Result<Option<VariantKey>, RecordsError> {
        let build_dir = text(build_dir)?;
        let last = self
            .connection()
            .query_row(
                "SELECT machine, variant, outcome FROM builds
                 JOIN build_deploys ON build_deploys.build = builds.id
                 WHERE build_dir = ?1 AND deploy_name = ?2 ORDER BY builds.id DESC LIMIT 1",
                params![build_dir, deploy_name],
                |row| {
                    let key = VariantKey {
                        machine: row.get(0)?,
                        id: row.get(1)?,
                    };
                    Ok((key, row.get::<_, Option<String>>(2)?))
                },
            )
            .optional()
            .map_err(self.fault())?;
        Ok(last
            .filter(|(_, outcome)| outcome.as_deref() == Some(Outcome::Succeeded.as_str()))
            .map(|(key, _)| key))
    }

    /// The duration of the last successful build of each variant, in seconds.
    ///
    /// # Errors
    /// When SQLite cannot read or write.
    pub fn last_durations(&self) -> Result<BTreeMap<VariantKey, f64>, RecordsError> {
        let connection = self.connection();
        let read = || {
            connection
                .prepare(
                    "SELECT machine, variant, seconds FROM builds
                     WHERE outcome = ?1 AND seconds IS NOT NULL ORDER BY id",
                )?
                .query_map([Outcome::Succeeded.as_str()], |row| {
                    let key = VariantKey {
                        machine: row.get(0)?,
                        id: row.get(1)?,
                    };
                    Ok((key, row.get(2)?))
                })?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.fault())
    }

    /// The last registration of a unique name.
    ///
    /// # Errors
    /// When SQLite cannot read or write.
    pub fn last_registered(
        &self,
        unique_name: &str,
    ) -> Result<Option<ArtifactRecord>, RecordsError> {
        self.connection()
            .query_row(
                "SELECT machine, variant, run, bytes, sha256, store_path, registered,
                    source_inode, source_ctime, source_ctime_ns
                 FROM artifacts WHERE unique_name = ?1 ORDER BY id DESC LIMIT 1",
                [unique_name],
                |row| {
                    let registered_at: String = row.get(6)?;
                    Ok(ArtifactRecord {
                        variant: VariantKey {
                            machine: row.get(0)?,
                            id: row.get(1)?,
                        },
                        run: row.get(2)?,
                        bytes: row.get::<_, i64>(3)?.cast_unsigned(),
                        sha256: row.get(4)?,
                        store_path: row.get::<_, String>(5)?.into(),
                        registered_at: registered_at.parse().map_err(|error| {
                            rusqlite::Error::FromSqlConversionFailure(
                                6,
                                rusqlite::types::Type::Text,
                                Box::<jiff::Error>::new(error),
                            )
                        })?,
                        source_inode: row.get::<_, i64>(7)?.cast_unsigned(),
                        source_ctime: (row.get(8)?, row.get(9)?),
                    })
                },
            )
            .optional()
            .map_err(self.fault())
    }
}

/// Retries for [`BUSY`]: a change of SQLite's journal mode does not honour its busy timeout.
fn patiently<T>(mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let begin = Instant::now();
    loop {
        match attempt() {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && begin.elapsed() < BUSY =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            answer => return answer,
        }
    }
}

/// Migrates the schema, and returns its version; it is higher than [`MIGRATIONS`] for a database of a later tool.
fn migrate(connection: &mut Connection) -> rusqlite::Result<usize> {
    let version = |connection: &Connection| {
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
    };
    let as_count = |version: i64| usize::try_from(version).unwrap_or(0);
    if as_count(version(connection)?) >= MIGRATIONS.len() {
        return version(connection).map(as_count);
    }
    // Another process may migrate at the same time: the second one finds the new version.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = as_count(version(&transaction)?);
    for (version, sql) in (1_i64..).zip(MIGRATIONS).skip(found) {
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()?;
    version(connection).map(as_count)
}

fn text(path: &Path) -> Result<&str, RecordsError> {
    path.to_str()
        .ok_or_else(|| RecordsError::NotUtf8(path.to_owned()))
}
