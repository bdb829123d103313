//! What variants were built from: input keys and what was registered then. Knows nothing of how a key is
//! made, and of whether a build can be skipped for it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::{Records, RecordsError};
use crate::model::key::{Line, Unpinned};
use crate::model::matrix::VariantKey;
use crate::store::copy::Stamp;

/// What was registered under a unique name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Where it is.
    pub store_path: PathBuf,
    /// The state of the file there.
    pub stamp: Stamp,
}

/// A declared artifact of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyArtifact {
    /// Its name.
    pub unique_name: String,
    /// What was registered; none where it is optional and was not there.
    pub made: Option<Made>,
}

/// What a variant was built from, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The input key.
    pub key: String,
    /// What of it nothing pins.
    pub unpinned: Vec<Unpinned>,
    /// Every declared artifact.
    pub artifacts: Vec<KeyArtifact>,
    /// The store: `local`, or `nix` and Nix's state directory.
    pub store: String,
    /// The run.
    pub run: String,
    /// When the build began.
    pub started: Timestamp,
}

impl KeyRecord {
    /// The kind of its store: `nix` or `local`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.store.split(' ').next().unwrap_or_default()
    }
}

/// What programs said of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolsRecord {
    /// The version of kas-container, or of kas.
    pub version: Option<String>,
    /// The digest of the image.
    pub digest: Option<String>,
    /// When they were asked.
    pub asked: Timestamp,
}

impl Records {
    /// A variant was built from these inputs, and is registered.
    ///
    /// # Errors
    /// SQLite's.
    pub fn record_key(
        &self,
        variant: &VariantKey,
        record: &KeyRecord,
        lines: &[Line],
    ) -> Result<(), RecordsError> {
        let unpinned = json(&record.unpinned);
        let artifacts = json(&record.artifacts);
        self.connection()
            .execute(
                "INSERT OR REPLACE INTO keys
                    (machine, variant, key, lines, unpinned, artifacts, store, run, started)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    variant.machine,
                    variant.id,
                    record.key,
                    json(&lines),
                    unpinned,
                    artifacts,
                    record.store,
                    record.run,
                    record.started.to_string(),
                ],
            )
            .map(drop)
            .map_err(self.fault())
    }

    /// The state of a registered file is another, and its content the same.
    ///
    /// # Errors
    /// SQLite's.
    pub fn record_stamps(
        &self,
        variant: &VariantKey,
        artifacts: &[KeyArtifact],
    ) -> Result<(), RecordsError> {
        self.connection()
            .execute(
                "UPDATE keys SET artifacts = ?3 WHERE machine = ?1 AND variant = ?2",
                params![variant.machine, variant.id, json(&artifacts)],
            )
            .map(drop)
            .map_err(self.fault())
    }

    /// What is recorded of every variant.
    ///
    /// # Errors
    /// SQLite's.
    pub fn keys(&self) -> Result<BTreeMap<VariantKey, KeyRecord>, RecordsError> {
        let connection = self.connection();
        let read = || {
            connection
                .prepare(
                    "SELECT machine, variant, key, unpinned, artifacts, store, run, started FROM keys",
                )?
                .query_map([], |row| {
                    let variant = VariantKey {
                        machine: row.get(0)?,
                        id: row.get(1)?,
                    };
                    let record = KeyRecord {
                        key: row.get(2)?,
                        unpinned: parsed(row, 3)?,
                        artifacts: parsed(row, 4)?,
                        store: row.get(5)?,
                        run: row.get(6)?,
                        started: time(row, 7)?,
                    };
                    Ok((variant, record))
                })?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.fault())
    }

    /// The lines that a variant's recorded key is the hash of; none where there is no key.
    ///
    /// # Errors
    /// SQLite's.
    pub fn key_lines(&self, variant: &VariantKey) -> Result<Option<Vec<Line>>, RecordsError> {
        self.connection()
            .query_row(
                "SELECT lines FROM keys WHERE machine = ?1 AND variant = ?2",
                params![variant.machine, variant.id],
                |row| parsed(row, 0),
            )
            .optional()
            .map_err(self.fault())
    }

    /// The lines of every recorded key.
    ///
    /// # Errors
    /// SQLite's.
    pub fn all_key_lines(&self) -> Result<Vec<Line>, RecordsError> {
        let connection = self.connection();
        let read = || {
            let mut statement = connection.prepare("SELECT lines FROM keys")?;
            let rows = statement.query_map([], |row| parsed::<Vec<Line>>(row, 0))?;
            let all = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(all.into_iter().flatten().collect())
        };
        read().map_err(self.fault())
    }

    /// A program has said this of itself, now.
    ///
    /// # Errors
    /// SQLite's.
    pub fn record_tools(&self, subject: &str, tools: &ToolsRecord) -> Result<(), RecordsError> {
        self.connection()
            .execute(
                "INSERT OR REPLACE INTO tools (subject, version, digest, asked)
                 VALUES (?1, ?2, ?3, ?4)",
                params![
                    subject,
                    tools.version,
                    tools.digest,
                    tools.asked.to_string()
                ],
            )
            .map(drop)
            .map_err(self.fault())
    }

    /// What was said when it was asked last.
    ///
    /// # Errors
    /// SQLite's.
    pub fn tools(&self, subject: &str) -> Result<Option<ToolsRecord>, RecordsError> {
        self.connection()
            .query_row(
                "SELECT version, digest, asked FROM tools WHERE subject = ?1",
                [subject],
                |row| {
                    Ok(ToolsRecord {
                        version: row.get(0)?,
                        digest: row.get(1)?,
                        asked: time(row, 2)?,
                    })
                },
            )
            .optional()
            .map_err(self.fault())
    }
}

/// None of what is kept here can fail to become JSON.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn conversion(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

pub(super) fn parsed<T: for<'de> Deserialize<'de>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| conversion(column, error))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|error: jiff::Error| conversion(column, error))
}
