//! Target `partitions`: reading ends for any disk, and a table without a fault is inside of the disk.

use isar_build_all::inspect::bare;

use super::files::holding;

/// The first byte selects the checksums to repair, so that the code behind them is reached; the rest is the
/// disk.
pub fn partitions(data: &[u8]) {
    let Some((&right, disk)) = data.split_first() else {
        return;
    };
    let mut disk = disk.to_vec();
    let last = disk.len() / 512;
    for (bit, sector) in [(0, 1), (2, last.saturating_sub(1))] {
        if right & 1 << bit != 0 {
            set_entries_right(&mut disk, sector);
        }
        if right & 2 << bit != 0 {
            set_header_right(&mut disk, sector);
        }
    }
    let Ok(Some(table)) = bare::partition_table(holding(&disk)) else {
        return;
    };
    if table.faults.is_empty() {
        for (start, len) in table.extents {
            assert!(
                start.saturating_add(len) <= disk.len() as u64,
                "{start} + {len}"
            );
        }
    }
}

fn set_entries_right(disk: &mut [u8], sector: usize) {
    let number = |at: usize| {
        let bytes = disk.get(sector * 512 + at..)?.get(..4)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let checksum = || {
        let start = number(72)?.checked_mul(512)?;
        let end = start.checked_add(number(80)?.checked_mul(number(84)?)?)?;
        Some(crc32fast::hash(disk.get(start..end)?))
    };
    if let Some(checksum) = checksum()
        && let Some(place) = disk.get_mut(sector * 512 + 88..sector * 512 + 92)
    {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
}

fn set_header_right(disk: &mut [u8], sector: usize) {
    let Some(header) = disk
        .get_mut(sector * 512..)
        .and_then(|rest| rest.get_mut(..512))
    else {
        return;
    };
    let size = u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize;
    header[16..20].fill(0);
    if let Some(checked) = header.get(..size) {
        let checksum = crc32fast::hash(checked);
        header[16..20].copy_from_slice(&checksum.to_le_bytes());
    }
}
