//! File stamps: what tells one state of a file from another, without reading it.
//!
//! A stamp is equal as long as inode, size and both times are; a program that rewrites a file's bytes and
//! resets its modification time still changes the `ctime`.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};

/// State of a file. Times are seconds and nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Device number of the file system; it may change from mount to mount.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Apparent size in bytes.
    pub bytes: u64,
    /// Modification time; any program can set it.
    pub mtime: (i64, i64),
    /// Change time of inode or content, set by the kernel.
    pub ctime: (i64, i64),
}

impl Stamp {
    /// The stamp in a file's metadata.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether both are of the same state, ignoring device numbers: they change from mount to mount.
    #[must_use]
    pub fn is_of(&self, there: &Stamp) -> bool {
        Stamp {
            device: there.device,
            ..*self
        } == *there
    }
}
