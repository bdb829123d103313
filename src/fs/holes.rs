//! Holes of sparse files: where a file has data, found without reading it.

use std::fs::File;
use std::io;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Start and end of the first data at or after byte `at` of a file of `size` bytes; both are `size` where
/// only a hole is left. On a file system without support for holes, everything is data.
///
/// # Errors
/// The system's error from `lseek(2)`.
pub fn next_data(file: &File, at: u64, size: u64) -> io::Result<(u64, u64)> {
    let data = match seek(file, SeekFrom::Data(at)) {
        Ok(data) => data.min(size),
        Err(Errno::NXIO) => return Ok((size, size)),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok((at, size)),
        Err(error) => return Err(error.into()),
    };
    let end = match seek(file, SeekFrom::Hole(data)) {
        Ok(end) => end.min(size),
        // The file was truncated in between; the caller's read finds its end.
        Err(Errno::NXIO) => size,
        Err(error) => return Err(error.into()),
    };
    Ok((data, end))
}
