//! Partition tables: both copies of a GPT, and MBR.
//!
//! Source: UEFI Specification 2.10, chapter 5. This reader is not a library's, because a gate must report which
//! copy is damaged and how, while libraries return the intact copy.

use std::io;

use crc32fast::Hasher;

use crate::inspect::source::Window;

/// The signature of a header.
const SIGNATURE: &[u8; 8] = b"EFI PART";

/// The type of the MBR partition that protects a GPT.
const PROTECTIVE: u8 = 0xee;

/// The limit for the bytes of all entries: 32 times the usual size.
const ENTRIES: u64 = 1 << 19;

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    /// Its number, from 1.
    pub(super) number: usize,
    /// Its label; empty in an MBR.
    pub(super) label: String,
    /// Its start in bytes.
    pub(super) start: u64,
    /// Its size in bytes.
    pub(super) len: u64,
}

/// A parsed table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// The partitions.
    pub(super) partitions: Vec<Partition>,
    /// Its faults.
    pub(super) faults: Vec<String>,
}

/// A header with a correct checksum.
struct Header {
    mine: u64,
    other: u64,
    disk: [u8; 16],
    entries_at: u64,
    count: u64,
    entry_size: u64,
    entries_crc: u32,
}

/// The sector size of a disk with a GPT; `None` without any trace of one.
pub(super) fn sector_size(disk: &Window) -> io::Result<Option<u64>> {
    for sector in [512, 4096] {
        if disk.len() >= sector + 8 && &disk.bytes_at::<8>(sector)? == SIGNATURE {
            return Ok(Some(sector));
        }
    }
    // The first copy may be the damaged one.
    if is_mbr(disk)? && mbr_entry(disk, 0)?.0 == PROTECTIVE {
        return Ok(Some(512));
    }
    for sector in [512, 4096] {
        if disk.len() >= 2 * sector && &disk.bytes_at::<8>(disk.len() - sector)? == SIGNATURE {
            return Ok(Some(sector));
        }
    }
    Ok(None)
}

/// Reads both copies.
///
/// # Errors
/// When the disk cannot be read.
pub(super) fn read(disk: &Window, sector: u64) -> io::Result<Table> {
    let mut table = Table::default();
    let last = disk.len() / sector;
    let primary = match header(disk, sector, 1)? {
        Ok(header) => Some(header),
        Err(why) => {
            table.faults.push(format!("the GPT header {why}"));
            None
        }
    };
    let Some(primary) = primary else {
        return Ok(table);
    };
    match entries(disk, sector, &primary)? {
        Ok(entries) => table.partitions = partitions(&entries, &primary, sector),
        Err(why) => table.faults.push(format!("the partition table {why}")),
    }
    if primary.other >= last {
        let needed = primary.other.saturating_add(1).saturating_mul(sector);
        table.faults.push(format!(
            "it has {} bytes and needs {needed} by its partition table: it is truncated",
            disk.len()
        ));
        return Ok(table);
    }
    match header(disk, sector, primary.other)? {
        Err(why) => table.faults.push(format!("the backup GPT header {why}")),
        Ok(backup) => {
            if let Err(why) = entries(disk, sector, &backup)? {
                table
                    .faults
                    .push(format!("the backup partition table {why}"));
            }
            if backup.disk != primary.disk
                || backup.entries_crc != primary.entries_crc
                || backup.other != primary.mine
            {
                table
                    .faults
                    .push("the GPT and its backup are not of the same disk".to_owned());
            }
        }
    }
    for partition in &table.partitions {
        if partition.start.saturating_add(partition.len) > disk.len() {
            table.faults.push(format!(
                "partition {} ends behind the end of the file",
                partition.number
            ));
        }
    }
    Ok(table)
}

/// The header in a sector, or its fault.
fn header(disk: &Window, sector: u64, at: u64) -> io::Result<Result<Header, String>> {
    let mut bytes = vec![0; 512];
    let place = at.saturating_mul(sector);
    if disk.read_at(place, &mut bytes)? < bytes.len() {
        return Ok(Err("is missing".to_owned()));
    }
    if !bytes.starts_with(SIGNATURE) {
        return Ok(Err(format!("is missing at byte {place}")));
    }
    let size = number(&bytes, 12, 4);
    let Some(checked) = usize::try_from(size)
        .ok()
        .filter(|size| (92..=512).contains(size))
        .and_then(|size| bytes.get(..size))
    else {
        return Ok(Err(format!("claims a size of {size} bytes")));
    };
    let mut hasher = Hasher::new();
    hasher.update(&checked[..16]);
    hasher.update(&[0; 4]);
    hasher.update(&checked[20..]);
    if u64::from(hasher.finalize()) != number(&bytes, 16, 4) {
        return Ok(Err("has a wrong checksum".to_owned()));
    }
    let mut disk_id = [0; 16];
    disk_id.copy_from_slice(&bytes[56..72]);
    let header = Header {
        mine: number(&bytes, 24, 8),
        other: number(&bytes, 32, 8),
        disk: disk_id,
        entries_at: number(&bytes, 72, 8),
        count: number(&bytes, 80, 4),
        entry_size: number(&bytes, 84, 4),
        entries_crc: u32::try_from(number(&bytes, 88, 4)).unwrap_or_default(),
    };
    Ok(if header.mine == at {
        Ok(header)
    } else {
        Err(format!("claims to be in sector {}", header.mine))
    })
}

/// The entries of a header, or their fault.
fn entries(disk: &Window, sector: u64, header: &Header) -> io::Result<Result<Vec<u8>, String>> {
    let size = header.count.saturating_mul(header.entry_size);
    let sound = header.entry_size >= 128 && header.entry_size.is_power_of_two();
    let Some(size) = usize::try_from(size)
        .ok()
        .filter(|&size| sound && size as u64 <= ENTRIES)
    else {
        return Ok(Err(format!(
            "has an impossible number or size of entries: {} of {} bytes each",
            header.count, header.entry_size
        )));
    };
    let mut bytes = vec![0; size];
    let there = disk.read_at(header.entries_at.saturating_mul(sector), &mut bytes)?;
    if there < size {
        return Ok(Err("is truncated".to_owned()));
    }
    Ok(if crc32fast::hash(&bytes) == header.entries_crc {
        Ok(bytes)
    } else {
        Err("has a wrong checksum".to_owned())
    })
}

fn partitions(entries: &[u8], header: &Header, sector: u64) -> Vec<Partition> {
    let size = usize::try_from(header.entry_size).unwrap_or(usize::MAX);
    entries
        .chunks_exact(size)
        .enumerate()
        .filter(|(_, entry)| entry[..16] != [0; 16])
        .map(|(index, entry)| {
            let (first, last) = (number(entry, 32, 8), number(entry, 40, 8));
            let label: Vec<u16> = entry[56..128]
                .chunks_exact(2)
                .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
                .take_while(|&unit| unit != 0)
                .collect();
            Partition {
                number: index + 1,
                label: String::from_utf16_lossy(&label),
                start: first.saturating_mul(sector),
                len: last
                    .saturating_add(1)
                    .saturating_sub(first)
                    .saturating_mul(sector),
            }
        })
        .collect()
}

/// Whether the disk may have an MBR.
pub(super) fn is_mbr(disk: &Window) -> io::Result<bool> {
    Ok(disk.len() >= 512 && disk.bytes_at::<2>(510)? == [0x55, 0xaa])
}

/// Type, start and size in bytes of an entry of the MBR.
fn mbr_entry(disk: &Window, index: u64) -> io::Result<(u8, u64, u64)> {
    let entry = disk.bytes_at::<16>(446 + 16 * index)?;
    Ok((
        entry[4],
        number(&entry, 8, 4) * 512,
        number(&entry, 12, 4) * 512,
    ))
}

/// The primary partitions of an MBR. Logical ones are not read.
///
/// # Errors
/// When the disk cannot be read.
pub(super) fn read_mbr(disk: &Window) -> io::Result<Table> {
    let mut table = Table::default();
    for index in 0..4 {
        let (kind, start, len) = mbr_entry(disk, index)?;
        if kind == 0 || len == 0 {
            continue;
        }
        let number = table.partitions.len() + 1;
        if start + len > disk.len() {
            table.faults.push(format!(
                "partition {number} ends at byte {} and the file has {}: it is truncated",
                start + len,
                disk.len()
            ));
        }
        table.partitions.push(Partition {
            number,
            label: String::new(),
            start,
            len,
        });
    }
    Ok(table)
}

/// A little-endian number of `size` bytes, at most 8. The caller ensures that they exist.
fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size]
        .iter()
        .rev()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}
