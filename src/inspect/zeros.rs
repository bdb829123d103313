//! Zeros, read as cheaply as the file system allows: holes are passed over. Knows nothing of formats.

use std::io;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::source::Window;

/// How much is read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// The first place in a range of a whole file that holds anything but zero.
///
/// # Errors
/// What the system answers.
pub(super) fn first_data(file: &Window, range: Range<u64>) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; CHUNK];
    let mut at = range.start;
    while at < range.end {
        let (start, end) = match seek(file.file(), SeekFrom::Data(at)) {
            Ok(start) => (start, seek(file.file(), SeekFrom::Hole(start))?),
            // Only a hole is left.
            Err(Errno::NXIO) => return Ok(None),
            // The file system knows no holes.
            Err(Errno::INVAL) => (at, file.len()),
            Err(error) => return Err(error.into()),
        };
        at = start;
        let end = end.min(range.end);
        while at < end {
            let most = usize::try_from(end - at).map_or(CHUNK, |left| left.min(CHUNK));
            let there = file.read_at(at, &mut buffer[..most])?;
            if there == 0 {
                return Ok(None);
            }
            if let Some(place) = buffer[..there].iter().position(|&byte| byte != 0) {
                return Ok(Some(at + place as u64));
            }
            at += there as u64;
        }
    }
    Ok(None)
}
