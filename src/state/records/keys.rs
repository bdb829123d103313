//! Records of input keys and tools: stores and loads the data of [`crate::inputs::record`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use crate::inputs::key::KeyLine;
use crate::inputs::record::{
    DecisionRecords, KeyArtifact, KeyRecord, RefreshedStamps, ToolsRecord,
};
use crate::matrix::VariantKey;
use crate::state::records::{Records, RecordsError};

impl Records {
    /// Records the input key of a variant that was built and registered, with the lines of the key.
    ///
    /// # Errors
    /// When SQLite cannot write.
    pub fn record_key(
        &self,
        variant: &VariantKey,
        record: &KeyRecord,
        lines: &[KeyLine],
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

    /// Records why the build that has ended leaves no input key. The start of the next build removes it.
    ///
    /// # Errors
    /// When SQLite cannot write.
    pub fn record_doubt(&self, variant: &VariantKey, why: &str) -> Result<(), RecordsError> {
        self.connection()
            .execute(
                "INSERT OR REPLACE INTO doubts (machine, variant, why) VALUES (?1, ?2, ?3)",
                params![variant.machine, variant.id, why],
            )
            .map(drop)
            .map_err(self.fault())
    }

    fn doubts(&self) -> Result<BTreeMap<VariantKey, String>, RecordsError> {
        let connection = self.connection();
        let read = || {
            connection
                .prepare("SELECT machine, variant, why FROM doubts")?
                .query_map([], |row| {
                    let variant = VariantKey {
                        machine: row.get(0)?,
                        id: row.get(1)?,
                    };
                    Ok((variant, row.get(2)?))
                })?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.fault())
    }

    /// Loads what skip decisions read. `subject` identifies the tools; with `None`, no tools record is loaded.
    ///
    /// # Errors
    /// When SQLite cannot read.
    pub fn for_decision(&self, subject: Option<&str>) -> Result<DecisionRecords<'_>, RecordsError> {
        let tools = match subject {
            Some(subject) => self.tools(subject)?,
            None => None,
        };
        Ok(DecisionRecords {
            keys: self.keys()?,
            doubts: self.doubts()?,
            products: self.all_products()?,
            tools,
            key_lines: Box::new(|variant| self.key_lines(variant).ok().flatten()),
        })
    }

    /// Records the new stamps of files whose content is unchanged.
    ///
    /// # Errors
    /// When SQLite cannot write.
    pub fn record_refreshed(&self, refreshed: &RefreshedStamps) -> Result<(), RecordsError> {
        for (variant, artifacts) in &refreshed.artifacts {
            self.record_stamps(variant, artifacts)?;
        }
        for (variant, products) in &refreshed.products {
            self.record_products(variant, products)?;
        }
        Ok(())
    }

    fn record_stamps(
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

    fn keys(&self) -> Result<BTreeMap<VariantKey, KeyRecord>, RecordsError> {
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

    /// The lines that a variant's recorded key is the hash of; `None` without a recorded key.
    ///
    /// # Errors
    /// When SQLite cannot read.
    pub fn key_lines(&self, variant: &VariantKey) -> Result<Option<Vec<KeyLine>>, RecordsError> {
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
    /// When SQLite cannot read.
    pub fn all_key_lines(&self) -> Result<Vec<KeyLine>, RecordsError> {
        let connection = self.connection();
        let read = || {
            let mut statement = connection.prepare("SELECT lines FROM keys")?;
            let rows = statement.query_map([], |row| parsed::<Vec<KeyLine>>(row, 0))?;
            let all = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(all.into_iter().flatten().collect())
        };
        read().map_err(self.fault())
    }

    /// Records what the tools of `subject` reported.
    ///
    /// # Errors
    /// When SQLite cannot write.
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

    fn tools(&self, subject: &str) -> Result<Option<ToolsRecord>, RecordsError> {
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

/// JSON of a value. The types recorded here always serialize.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn conversion(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// A column of JSON.
pub(super) fn parsed<T: for<'de> Deserialize<'de>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| conversion(column, error))
}

/// A column with a time.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|error: jiff::Error| conversion(column, error))
}
