//! Hashes of registered files by their stamps: a file that is unchanged since its registration is not read again.

use rusqlite::{OptionalExtension as _, params};

use crate::base::hex;
use crate::fs::stamp::Stamp;
use crate::state::records::{Records, RecordsError};

impl Records {
    /// The hash of the file that was last registered under this name, if it was captured with this stamp. The stamp
    /// proves the content: a capture reads a file only when a later change would show in its stamp.
    ///
    /// # Errors
    /// When SQLite cannot read.
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
        Ok(found.and_then(|hex| hex::decode_sha256(&hex)))
    }
}
