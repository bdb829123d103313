//! Records of silences: how long each task of a variant went without output in successful builds.

use std::time::Duration;

use rusqlite::{TransactionBehavior, params};

use crate::bitbake::silence::History;
use crate::matrix::VariantKey;
use crate::state::records::{Records, RecordsError};

impl Records {
    /// Records the longest silences of a successful build. For each task, the longest of all builds is kept.
    ///
    /// # Errors
    /// When SQLite cannot read or write.
    pub fn record_silences(
        &self,
        variant: &VariantKey,
        silences: &History,
    ) -> Result<(), RecordsError> {
        let mut connection = self.connection();
        let mut insert = || {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (task, silent) in silences {
                transaction.execute(
                    "INSERT INTO silences (machine, variant, task, seconds) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET seconds = max(seconds, excluded.seconds)",
                    params![variant.machine, variant.id, task, silent.as_secs_f64()],
                )?;
            }
            transaction.commit()
        };
        insert().map_err(self.fault())
    }

    /// The longest silences of a variant's tasks.
    ///
    /// # Errors
    /// When SQLite cannot read or write.
    pub fn silences(&self, variant: &VariantKey) -> Result<History, RecordsError> {
        let connection = self.connection();
        let read = || {
            connection
                .prepare("SELECT task, seconds FROM silences WHERE machine = ?1 AND variant = ?2")?
                .query_map(params![variant.machine, variant.id], |row| {
                    let seconds = row.get::<_, f64>(1)?;
                    let silent = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                    Ok((row.get(0)?, silent))
                })?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.fault())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_of_each_task_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(&dir.path().join("records.sqlite")).unwrap();
        let key = |id: &str| VariantKey {
            machine: "m".to_owned(),
            id: id.to_owned(),
        };
        let history = |entries: &[(&str, u64)]| -> History {
            let entries = entries.iter();
            entries
                .map(|(task, seconds)| ((*task).to_owned(), Duration::from_secs(*seconds)))
                .collect()
        };
        for of_build in [
            history(&[("x-1.0-r0:do_y", 40), ("", 12)]),
            history(&[("x-1.0-r0:do_y", 30), ("", 15)]),
        ] {
            records.record_silences(&key("a"), &of_build).unwrap();
        }
        let kept = history(&[("x-1.0-r0:do_y", 40), ("", 15)]);
        assert_eq!(records.silences(&key("a")).unwrap(), kept);
        assert_eq!(records.silences(&key("b")).unwrap(), History::new());
    }
}
