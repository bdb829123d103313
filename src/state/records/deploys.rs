//! The ledger of build directories: which build was the last in one, what lay there under the names
//! that builds deploy, and whose it was. Knows nothing of what follows from it.
//!
//! A state is inode, change time and size. Modification times are not in it: whoever copies a file can
//! set them. Devices are not either: they change from mount to mount.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, TransactionBehavior, params};

use super::{BuildId, Records, RecordsError, text};
use crate::model::matrix::VariantKey;
use crate::model::outcome::Outcome;
use crate::store::copy::Stamp;

/// When a state was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The build was about to begin.
    Before,
    /// It had ended well.
    After,
}

impl Moment {
    fn as_str(self) -> &'static str {
        match self {
            Moment::Before => "before",
            Moment::After => "after",
        }
    }
}

/// A file under a name that a build may deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployState {
    /// Where it is; there may be several deploy directories.
    pub path: PathBuf,
    /// Its name.
    pub deploy_name: String,
    /// Its state.
    pub stamp: Stamp,
    /// Whose it is, where that is proven.
    pub owner: Option<VariantKey>,
}

/// The build that was the last in a build directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastBuild {
    /// Of which variant.
    pub variant: VariantKey,
    /// How it ended, or `None`: it runs, or was killed.
    pub outcome: Option<String>,
}

impl LastBuild {
    /// Whether it ended well.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.outcome.as_deref() == Some(Outcome::Succeeded.as_str())
    }
}

impl Records {
    /// What lay in the build directory at that moment.
    ///
    /// # Errors
    /// SQLite's, and a path that is not UTF-8.
    pub fn record_deploy_states(
        &self,
        build: BuildId,
        moment: Moment,
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

    /// Whose the file in this state was, when it was last seen after a build of this directory that
    /// ended well.
    ///
    /// # Errors
    /// SQLite's, and a build directory that is not UTF-8.
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

    /// The build that was the last in a build directory.
    ///
    /// # Errors
    /// SQLite's, and a build directory that is not UTF-8.
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

    /// The variants that ever built in a build directory.
    ///
    /// # Errors
    /// SQLite's, and a build directory that is not UTF-8.
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

    /// What the last build of a variant in a build directory left was refused: from now on it counts
    /// as a build that did not end well.
    ///
    /// # Errors
    /// SQLite's, and a build directory that is not UTF-8.
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
