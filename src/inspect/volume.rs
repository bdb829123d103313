//! File systems in a partition or in a file: recognition, and a walk over their files.

use std::io;

use crate::inspect::format::Format;
use crate::inspect::report::Looking;
use crate::inspect::source::Window;
use crate::inspect::{ext4, fat, squashfs};

/// The most entries of one file system: more than any image has.
pub(super) const ENTRIES: u64 = 4_000_000;

/// The most directories inside of each other.
pub(super) const DEPTH: usize = 128;

/// A file system that can be read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileSystem {
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// ext2, ext3 or ext4.
    Ext4,
    /// Squashfs.
    Squashfs,
}

impl FileSystem {
    /// The file system of a volume.
    pub(super) fn of(volume: &Window) -> io::Result<Option<FileSystem>> {
        let head = volume.head(2048)?;
        let is = |at: usize, magic: &[u8]| head.get(at..at + magic.len()) == Some(magic);
        Ok(if is(0x438, b"\x53\xef") {
            Some(FileSystem::Ext4)
        } else if is(0, b"hsqs") {
            Some(FileSystem::Squashfs)
        } else if is(510, b"\x55\xaa") && (is(54, b"FAT") || is(82, b"FAT")) {
            Some(FileSystem::Fat)
        } else {
            None
        })
    }

    /// As the format of a file.
    pub(super) fn format(self) -> Format {
        match self {
            FileSystem::Fat => Format::Fat,
            FileSystem::Ext4 => Format::Ext4,
            FileSystem::Squashfs => Format::Squashfs,
        }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            FileSystem::Fat => "FAT file system",
            FileSystem::Ext4 => "ext4 file system",
            FileSystem::Squashfs => "squashfs file system",
        }
    }

    /// Checks every program in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn walk(self, volume: &Window, looking: &mut Looking<'_>) -> io::Result<()> {
        match self {
            FileSystem::Fat => fat::walk(volume, looking),
            FileSystem::Ext4 => ext4::walk(volume, looking),
            FileSystem::Squashfs => squashfs::walk(volume, looking),
        }
    }
}
