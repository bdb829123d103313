//! Records of build measures: memory, processor time and duration of past builds.

use std::collections::HashMap;

use rusqlite::params;

use crate::event::outcome::Outcome;
use crate::host::usage::ResourceUsage;
use crate::matrix::VariantKey;
use crate::state::records::{BuildId, Records, RecordsError};

/// The number of recent successful builds of a variant that an estimate uses.
pub const RECENT: usize = 5;

/// The measures of one build; `None` for those that could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measure {
    /// The resources that its container used.
    pub took: Option<ResourceUsage>,
    /// Seconds until the work that it shares with other variants was in the shared state cache.
    pub shared_seconds: Option<f64>,
}

/// A past successful build.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Past {
    /// Its duration in seconds.
    pub seconds: f64,
    /// Its measures.
    pub measure: Measure,
}

impl Records {
    /// Records the measures of a build.
    ///
    /// # Errors
    /// When SQLite cannot read or write.
    pub fn record_measure(&self, build: BuildId, measure: &Measure) -> Result<(), RecordsError> {
        let took = measure.took;
        self.connection()
            .execute(
                "INSERT OR REPLACE INTO build_measures
                    (build, memory, cpu_seconds, measured_seconds, shared_seconds)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    build.0,
                    took.map(|took| took.memory.cast_signed()),
                    took.map(|took| took.cpu_seconds),
                    took.map(|took| took.seconds),
                    measure.shared_seconds
                ],
            )
            .map(drop)
            .map_err(self.fault())
    }

    /// The last successful builds of each variant, the newest first: [`RECENT`] of them, followed by older ones until
    /// there are [`RECENT`] with `shared_seconds`.
    ///
    /// # Errors
    /// When SQLite cannot read or write.
    pub fn past_builds(&self) -> Result<HashMap<VariantKey, Vec<Past>>, RecordsError> {
        let connection = self.connection();
        let read = || {
            let mut past: HashMap<VariantKey, Vec<Past>> = HashMap::new();
            let mut statement = connection.prepare(
                "SELECT machine, variant, seconds, memory, cpu_seconds, measured_seconds, shared_seconds
                 FROM (SELECT *,
                           row_number() OVER (PARTITION BY machine, variant ORDER BY id DESC) AS nth,
                           row_number() OVER (PARTITION BY machine, variant, shared_seconds IS NULL
                                              ORDER BY id DESC) AS nth_of_kind
                       FROM builds LEFT JOIN build_measures ON build_measures.build = builds.id
                       WHERE outcome = ?1 AND seconds IS NOT NULL)
                 WHERE nth <= ?2 OR (shared_seconds IS NOT NULL AND nth_of_kind <= ?2)
                 ORDER BY id DESC",
            )?;
            let mut rows =
                statement.query(params![Outcome::Succeeded.as_str(), RECENT.cast_signed()])?;
            while let Some(row) = rows.next()? {
                let key = VariantKey {
                    machine: row.get(0)?,
                    id: row.get(1)?,
                };
                let memory: Option<i64> = row.get(3)?;
                let (cpu_seconds, seconds) = (row.get(4)?, row.get(5)?);
                let took = memory.map(|memory| ResourceUsage {
                    memory: memory.cast_unsigned(),
                    cpu_seconds: Option::unwrap_or(cpu_seconds, 0.0),
                    seconds: Option::unwrap_or(seconds, 0.0),
                });
                past.entry(key).or_default().push(Past {
                    seconds: row.get(2)?,
                    measure: Measure {
                        took,
                        shared_seconds: row.get(6)?,
                    },
                });
            }
            Ok(past)
        };
        read().map_err(self.fault())
    }
}
