//! Single readers for the fuzz targets, which feed them any bytes. The inspection of a whole file would catch a
//! library's panic, and stop at the first checksum.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::inspect::gpt;
use crate::inspect::report::{Looking, Report, Rules};
use crate::inspect::source::{Stream, Window};

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionTable {
    /// Start and size of each partition, in bytes.
    pub extents: Vec<(u64, u64)>,
    /// Its faults.
    pub faults: Vec<String>,
}

/// The partition table of a disk image; `None` without one.
///
/// # Errors
/// When the file cannot be read.
pub fn partition_table(disk: File) -> io::Result<Option<PartitionTable>> {
    let disk = Window::whole(disk, Arc::new(|| false))?;
    let table = match gpt::sector_size(&disk)? {
        Some(sector) => gpt::read(&disk, sector)?,
        None if gpt::is_mbr(&disk)? => gpt::read_mbr(&disk)?,
        None => return Ok(None),
    };
    Ok(Some(PartitionTable {
        extents: table
            .partitions
            .iter()
            .map(|partition| (partition.start, partition.len))
            .collect(),
        faults: table.faults,
    }))
}

/// Checks every program in an initial RAM disk.
///
/// # Errors
/// When the data cannot be read, or is neither an archive nor a compressed one.
pub fn ramdisk(file: File, rules: &Rules) -> io::Result<Report> {
    let window = Window::whole(file, Arc::clone(&rules.stop))?;
    let mut looking = Looking::new(rules);
    let budget = window.budget.clone();
    crate::inspect::cpio::read(&mut Stream::new(window, budget), &mut looking)?;
    Ok(looking.finish())
}
