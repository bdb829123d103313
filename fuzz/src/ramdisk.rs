//! Target `ramdisk`: cpio archives, plain or compressed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use globset::GlobSet;
use isar_build_all::base::arch::Arch;
use isar_build_all::inspect::{Rules, bare};

use super::files::holding;

/// The limit of reads: a few bytes may unpack to gigabytes, which is no fault.
const READS: u32 = 4000;

/// Reads any bytes.
pub fn ramdisk(data: &[u8]) {
    let reads = AtomicU32::new(0);
    let rules = Rules {
        arch: Arch::Amd64,
        foreign: GlobSet::empty(),
        stop: Arc::new(move || reads.fetch_add(1, Ordering::Relaxed) > READS),
    };
    let Ok(report) = bare::ramdisk(holding(data), &rules) else {
        return;
    };
    for finding in &report.findings {
        assert!(!finding.why.is_empty());
    }
}
