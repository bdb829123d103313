//! Disk images: checks every partition of a table.

use std::io;

use crate::inspect::gpt::Table;
use crate::inspect::report::Looking;
use crate::inspect::source::{Window, invalid};
use crate::inspect::volume::FileSystem;
use crate::inspect::zeros::first_data;

/// Checks every partition.
///
/// # Errors
/// When the image cannot be read.
pub(super) fn look(disk: &Window, table: Table, looking: &mut Looking<'_>) -> io::Result<()> {
    let damaged = !table.faults.is_empty();
    for fault in table.faults {
        looking.shape(fault);
    }
    if damaged {
        // The table is not trustworthy, and the image is refused anyway.
        return Ok(());
    }
    for partition in table.partitions {
        let mut name = format!("partition {}", partition.number);
        if !partition.label.is_empty() {
            name = format!("{name} ({})", partition.label.escape_debug());
        }
        let volume = disk.part(partition.start, partition.len);
        match FileSystem::of(&volume)? {
            Some(file_system) => {
                looking.place = format!(" in {name}");
                file_system
                    .walk(&volume, looking)
                    .map_err(|error| at(file_system, &error))?;
                looking.place.clear();
            }
            None => {
                let end = partition.start.saturating_add(partition.len);
                if first_data(disk, partition.start..end.min(disk.len()))?.is_some() {
                    looking.report.unread.push(name);
                }
            }
        }
    }
    Ok(())
}

fn at(file_system: FileSystem, error: &io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => error.to_string(),
    };
    invalid(format!("{}: {why}", file_system.name()))
}
