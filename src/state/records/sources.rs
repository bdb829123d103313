//! Which file was registered in which state: what saves reading one that has not changed since.

use rusqlite::{OptionalExtension as _, params};

use super::{Records, RecordsError};
use crate::model::store_path::unhex;
use crate::store::copy::Stamp;

impl Records {
    /// The hash of the file that was captured in this very state and registered under this name last.
    /// Between capture and state no change can have gone unseen, since a capture waits until one would
    /// show before it reads.
    ///
    /// # Errors
    /// SQLite's.
    pub fn hash_of_unchanged(
        &self,
        unique_name: &str,
        source: &Stamp,
    ) -> Result<Option<[u8; 32]>, RecordsError> {
        let found: Option<String> = self
            .connection()
            .query_row(
                "SELECT sha256 FROM artifacts
                 WHERE unique_name = ?1 AND bytes = ?2 AND source_device = ?3 AND source_inode = ?4
                    AND source_mtime = ?5 AND source_mtime_ns = ?6
                    AND source_ctime = ?7 AND source_ctime_ns = ?8
                 ORDER BY id DESC LIMIT 1",
                params![
                    unique_name,
                    source.bytes.cast_signed(),
                    source.device.cast_signed(),
                    source.inode.cast_signed(),
                    source.mtime.0,
                    source.mtime.1,
                    source.ctime.0,
                    source.ctime.1,
                ],
                |row| row.get(0),
            )
            .optional()
            .map_err(self.fault())?;
        Ok(found.and_then(|hex| unhex(&hex)))
    }
}
