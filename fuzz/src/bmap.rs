//! Target `bmap`: any block map is compared with any image to an end, and twice with the same result.

use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use isar_build_all::inspect::inspect_bmap;

use super::content::rules;
use super::files::holding;

/// The first two bytes are the length of the map, big-endian; the rest is the map, then the image.
pub fn bmap(data: &[u8]) {
    let Some((length, rest)) = data.split_at_checked(2) else {
        return;
    };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let (map, image) = rest.split_at(length.min(rest.len()));
    let (map, image) = (holding(map), holding(image));
    let path = |file: &std::fs::File| PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let look = || inspect_bmap(&path(&map), &path(&image), &rules()).expect("both can be opened");
    let report = look();
    for finding in &report.findings {
        assert!(!finding.why.is_empty());
    }
    assert_eq!(report, look());
}
