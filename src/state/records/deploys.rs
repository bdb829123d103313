//! Records of deploy directories: the last build in each build directory, the files under the names that builds
//! deploy, before and after each build, and their owners.
//!
//! A file is identified by inode, change time and size. Modification times do not count, because a copy can set them;
//! devices do not count, because they change from mount to mount.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, TransactionBehavior, params};

use crate::event::outcome::Outcome;
use crate::fs::stamp::Stamp;
use crate::matrix::VariantKey;
use crate::state::records::{BuildId, Records, RecordsError, text};

/// The moment of a deploy snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotMoment {
    /// Just before the build.
    Before,
    /// After the build succeeded.
    After,
}

impl SnapshotMoment {
    fn as_str(self) -> &'static str {
        match self {
            SnapshotMoment::Before => "before",
            SnapshotMoment::After => "after",
        }
    }
}

/// A file under a name that a build may deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployState {
    /// Its path; a build directory may have several deploy directories.
    pub path: PathBuf,
    /// Its name.
    pub deploy_name: String,
    /// Its stamp.
    pub stamp: Stamp,
    /// The variant that it is proven to belong to.
    pub owner: Option<VariantKey>,
}

/// The last build in a build directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastBuild {
    /// The variant.
    pub variant: VariantKey,
    /// Its outcome; `None` if it runs or was killed.
    pub outcome: Option<String>,
}

impl LastBuild {
    /// Whether it succeeded.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.outcome.as_deref() == Some(Outcome::Succeeded.as_str())
    }
}

impl Records {
    /// Records the files of a deploy snapshot.
    ///
    /// # Errors
    /// When SQLite cannot write, and for a path that is not UTF-8.
    pub fn record_deploy_states(
        &self,
        build: BuildId,
        moment: SnapshotMoment,
        states: &[DeployState],
    ) -> Result<(), RecordsError> {
        let paths = states
            .iter()
            .map(|state| text(&state.path))
            .collect::<Result<Vec<_>, _>>()?;
        let mut connection = self.connection();
        let insert = || {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (state, path) in states.iter().zip(paths) {
                transaction.execute(
                    "INSERT OR REPLACE INTO deploy_states (build, moment, path, deploy_name, inode,
                        ctime, ctime_ns, bytes, owner_machine, owner_variant)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    params![
                        build.0,
                        moment.as_str(),
                        path,
                        state.deploy_name,
                        state.stamp.inode.cast_signed(),
                        state.stamp.ctime.0,
                        state.stamp.ctime.1,
                        state.stamp.bytes.cast_signed(),
                        state.owner.as_ref().map(|owner| &owner.machine),
                        state.owner.as_ref().map(|owner| &owner.id),
                    ],
                )?;
            }
            transaction.commit()
        };
        insert().map_err(self.fault())
    }

    /// The owner of a file with this stamp in the last snapshot after a successful build in this directory that
    /// contains it.
    ///
    /// # Errors
    /// When SQLite cannot read, and for a build directory that is not UTF-8.
    pub fn owner_of_state(
        &self,
        build_dir: &Path,
        deploy_name: &str,
        stamp: &Stamp,
    ) -> Result<Option<VariantKey>, RecordsError> {
        let build_dir = text(build_dir)?;
        self.connection()
            .query_row(
                "SELECT owner_machine, owner_variant FROM deploy_states
                 JOIN builds ON builds.id = deploy_states.build
                 WHERE moment = 'after' AND outcome = ?1 AND build_dir = ?2 AND deploy_name = ?3
                    AND inode = ?4 AND deploy_states.ctime = ?5 AND ctime_ns = ?6 AND bytes = ?7
                 ORDER BY builds.id DESC LIMIT 1",
                params![
                    Outcome::Succeeded.as_str(),
                    build_dir,
                    deploy_name,
                    stamp.inode.cast_signed(),
                    stamp.ctime.0,
                    stamp.ctime.1,
                    stamp.bytes.cast_signed(),
                ],
                |row| {
                    let machine: Option<String> = row.get(0)?;
                    let id: Option<String> = row.get(1)?;
                    Ok(machine.zip(id))
                },
            )
            .optional()
            .map_err(self.fault())
            .map(|found| {
                found
                    .flatten()
                    .map(|(machine, id)| VariantKey { machine, id })
            })
    }

    /// The last build in a build directory.
    ///
    /// # Errors
    /// When SQLite cannot read or write, and for a build directory that is not UTF-8.
    pub fn last_build_in(&self, build_dir: &Path) -> Result<Option<LastBuild>, RecordsError> {
        let build_dir = text(build_dir)?;
        self.connection()
            .query_row(
                "SELECT machine, variant, outcome FROM builds WHERE build_dir = ?1
                 ORDER BY id DESC LIMIT 1",
                [build_dir],
                |row| {
                    Ok(LastBuild {
                        variant: key(row)?,
                        outcome: row.get(2)?,
                    })
                },
            )
            .optional()
            .map_err(self.fault())
    }

    /// All variants that were ever built in a build directory.
    ///
    /// # Errors
    /// When SQLite cannot read or write, and for a build directory that is not UTF-8.
    pub fn builders_in(&self, build_dir: &Path) -> Result<Vec<VariantKey>, RecordsError> {
        let build_dir = text(build_dir)?;
        let connection = self.connection();
        let read = || {
            connection
                .prepare("SELECT DISTINCT machine, variant FROM builds WHERE build_dir = ?1")?
                .query_map([build_dir], key)?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.fault())
    }

    /// Marks the last build of a variant in a build directory as refused: its files failed a gate, so it no longer
    /// counts as a success.
    ///
    /// # Errors
    /// When SQLite cannot read or write, and for a build directory that is not UTF-8.
    pub fn record_build_refused(
        &self,
        build_dir: &Path,
        variant: &VariantKey,
        at: Timestamp,
    ) -> Result<(), RecordsError> {
        let build_dir = text(build_dir)?;
        self.connection()
            .execute(
                "UPDATE builds SET outcome = ?1, finished = ?2 WHERE id =
                    (SELECT max(id) FROM builds
                     WHERE build_dir = ?3 AND machine = ?4 AND variant = ?5)",
                params![
                    Outcome::Refused.as_str(),
                    at.to_string(),
                    build_dir,
                    variant.machine,
                    variant.id
                ],
            )
            .map(drop)
            .map_err(self.fault())
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<VariantKey> {
    Ok(VariantKey {
        machine: row.get(0)?,
        id: row.get(1)?,
    })
}
