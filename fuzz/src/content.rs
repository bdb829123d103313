//! Target `content`: any file is inspected to an end, and twice with the same result. Its content decides the
//! format: tar, ext4, squashfs, FAT, disk images, kernels, compressed data.

use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use globset::GlobSet;
use isar_build_all::base::arch::Arch;
use isar_build_all::inspect::{Report, Rules, inspect};

use super::files::holding;

/// The limit of reads: a few bytes may unpack to gigabytes, which is no fault.
const READS: u32 = 4000;

/// Rules that end an inspection after the limit of reads.
pub(crate) fn rules() -> Rules {
    let reads = AtomicU32::new(0);
    Rules {
        arch: Arch::Amd64,
        foreign: GlobSet::empty(),
        stop: Arc::new(move || reads.fetch_add(1, Ordering::Relaxed) > READS),
    }
}

/// Inspects any bytes.
pub fn content(data: &[u8]) {
    let file = holding(data);
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let look = || inspect(&path, &rules()).expect("the file can be opened");
    let report: Report = look();
    for finding in &report.findings {
        assert!(!finding.why.is_empty());
    }
    assert_eq!(report, look());
}
