//! Search for the first byte that is not zero. Holes are skipped, not read.

use std::io;
use std::ops::Range;

use crate::fs::holes::next_data;
use crate::inspect::source::Window;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Position of the first byte in `range` that is not zero. The window covers a whole file.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn first_data(file: &Window, range: Range<u64>) -> io::Result<Option<u64>> {
    let last = range.end.min(file.len());
    let mut buffer = vec![0; CHUNK];
    let mut at = range.start;
    while at < last {
        let (start, end) = next_data(file.file(), at, file.len())?;
        at = start;
        let end = end.min(last);
        while at < end {
            let most = usize::try_from(end - at).map_or(CHUNK, |left| left.min(CHUNK));
            let length = file.read_at(at, &mut buffer[..most])?;
            if length == 0 {
                return Ok(None);
            }
            if let Some(place) = buffer[..length].iter().position(|&byte| byte != 0) {
                return Ok(Some(at + place as u64));
            }
            at += length as u64;
        }
    }
    Ok(None)
}
