//! One read of a file: copy and SHA-256 in the same pass. Knows nothing of what the file is.
//!
//! - A reflink where the file system can; the source is then read once for its hash (the clone's pages
//!   would come from the disk).
//! - Holes are kept and cost no reads.
//! - Only regular files, symbolic links are not followed, and a source that changes while it is read
//!   is an error.
//! - The copy appears under its name when it is complete and on the disk, or not at all.
//!
//! Blocking; memory is bounded (see [`crate::store::hashing`]).

#[cfg(test)]
mod tests;

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, ioctl_ficlone};
use thiserror::Error;

use crate::event::ArtifactOrigin;
use crate::fs::holes::next_data;
use crate::fs::stamp::Stamp;
use crate::fs::{PartFile, PathError, is_at};
use crate::store::chunk::next_chunk;
use crate::store::hashing::{Hashing, Sums, Want};

/// A file that was read to its end without a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// Its hashes.
    pub sums: Sums,
    /// Its state while it was read.
    pub stamp: Stamp,
}

/// Why a file was not copied or hashed.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The source is no regular file.
    #[error("{} is {what}, not a file", path.display())]
    NotAFile {
        /// The source.
        path: PathBuf,
        /// Its kind, as `a directory`.
        what: &'static str,
    },
    /// The source changed while it was read.
    #[error("{} changed while it was read ({what})", path.display())]
    Changed {
        /// The source.
        path: PathBuf,
        /// The change.
        what: &'static str,
    },
    /// We were asked to stop.
    #[error("{} was not read to its end: stopped", .0.display())]
    Stopped(PathBuf),
    /// The system's answer.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl CopyError {
    /// A remedy, as a command where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            CopyError::Changed { .. } => Some(
                "something else writes it, such as a second build in the same directory; wait for \
                 its end and run again"
                    .to_owned(),
            ),
            CopyError::Path(error) => error.hint(),
            CopyError::NotAFile { .. } => {
                Some("have the file itself made there, under this name".to_owned())
            }
            CopyError::Stopped(_) => None,
        }
    }
}

/// Asked between chunks; true ends the work with [`CopyError::Stopped`].
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// Where a copy goes.
#[derive(Debug, Clone, Copy)]
pub struct Dest<'a> {
    /// Its path; what is there is replaced.
    pub path: &'a Path,
    /// Its mode; unset it is 0644 less the umask.
    pub mode: Option<u32>,
    /// Whether it is to survive a loss of power.
    pub synced: bool,
}

impl Dest<'_> {
    /// A synced one, with the mode of an ordinary new file.
    #[must_use]
    pub fn at(path: &Path) -> Dest<'_> {
        Dest {
            path,
            mode: None,
            synced: true,
        }
    }
}

/// Copies `source` to `dest`.
///
/// # Errors
/// See [`CopyError`]; what is at the destination is then as it was and nothing is left beside it.
pub fn copy(
    source: &Path,
    dest: Dest<'_>,
    want: Want,
    stop: Stop<'_>,
) -> Result<(Hashed, ArtifactOrigin), CopyError> {
    let (file, before) = open(source)?;
    let part = PartFile::create(dest.path)?;
    let how = if ioctl_ficlone(part.file(), &file).is_ok() {
        ArtifactOrigin::Reflinked
    } else {
        ArtifactOrigin::Copied
    };
    let written = match how {
        ArtifactOrigin::Reflinked => None,
        _ => {
            // Sets the size, and with it every hole that is not written to.
            part.file()
                .set_len(before.bytes)
                .map_err(PathError::on("write", part.path()))?;
            Some(&part)
        }
    };
    let opened = OpenedSource {
        path: source,
        file: &file,
        before,
    };
    let hashed = opened.read(written, want, stop)?;
    if dest.synced {
        part.commit(dest.mode)?;
    } else {
        part.commit_unsynced(dest.mode)?;
    }
    Ok((hashed, how))
}

/// Hashes a file.
///
/// # Errors
/// See [`CopyError`].
pub fn hash(source: &Path, want: Want, stop: Stop<'_>) -> Result<Hashed, CopyError> {
    let (file, before) = open(source)?;
    let opened = OpenedSource {
        path: source,
        file: &file,
        before,
    };
    opened.read(None, want, stop)
}

/// Where a file has data, in whole blocks of `block` bytes, in order and none beside the next. Where the file
/// is not in the state `known`, all of it counts as data.
///
/// # Errors
/// See [`CopyError`].
pub fn data_of(
    source: &Path,
    known: Option<&Stamp>,
    block: u64,
) -> Result<Vec<Range<u64>>, CopyError> {
    let (file, before) = open(source)?;
    let known = known.copied().unwrap_or(before);
    let all = 0..known.bytes;
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while at < before.bytes {
        let (data, end) =
            next_data(&file, at, before.bytes).map_err(PathError::on("read", source))?;
        if end <= at {
            return Ok(Vec::from_iter([all]));
        }
        let blocks = data / block * block..end.next_multiple_of(block).min(before.bytes);
        match found.last_mut() {
            _ if data == end => {}
            Some(last) if last.end >= blocks.start => last.end = blocks.end,
            _ => found.push(blocks),
        }
        at = end;
    }
    let after = Stamp::of(&file.metadata().map_err(PathError::on("read", source))?);
    Ok(if before == known && after == known {
        found
    } else {
        Vec::from_iter([all])
    })
}

/// Whether a file can be read now.
///
/// # Errors
/// See [`CopyError`].
pub fn readable(source: &Path) -> Result<(), CopyError> {
    open(source).map(drop)
}

pub(super) fn open(source: &Path) -> Result<(File, Stamp), CopyError> {
    // NONBLOCK: opening a named pipe that nobody writes to would otherwise never return.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let opened = i32::try_from(flags)
        .map_err(io::Error::other)
        .and_then(|flags| {
            OpenOptions::new()
                .read(true)
                .custom_flags(flags)
                .open(source)
        });
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            // Opening a link fails with ELOOP, a socket with ENXIO: say what it is instead.
            if let Ok(metadata) = source.symlink_metadata() {
                regular(source, &metadata)?;
            }
            return Err(PathError::on("open", source)(error).into());
        }
    };
    let metadata = file.metadata().map_err(PathError::on("read", source))?;
    regular(source, &metadata)?;
    Ok((file, Stamp::of(&metadata)))
}

/// Refuses what is no regular file.
///
/// # Errors
/// [`CopyError::NotAFile`].
pub fn regular(path: &Path, metadata: &Metadata) -> Result<(), CopyError> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_block_device() {
        "a block device"
    } else if kind.is_char_device() {
        "a character device"
    } else if kind.is_fifo() {
        "a named pipe"
    } else {
        "a socket"
    };
    Err(CopyError::NotAFile {
        path: path.to_owned(),
        what,
    })
}

/// A file to read, open.
#[derive(Clone, Copy)]
struct OpenedSource<'a> {
    path: &'a Path,
    file: &'a File,
    /// Its stamp when it was opened.
    before: Stamp,
}

impl OpenedSource<'_> {
    /// Reads the file to its end, hashes it, and writes its data to `written`.
    fn read(
        self,
        written: Option<&PartFile>,
        want: Want,
        stop: Stop<'_>,
    ) -> Result<Hashed, CopyError> {
        let OpenedSource {
            path: source,
            file,
            before,
        } = self;
        let changed = |what| CopyError::Changed {
            path: source.to_owned(),
            what,
        };
        let sums = std::thread::scope(|scope| {
            let mut hashing = Hashing::start(scope, want, before.bytes)
                .map_err(PathError::on("start a thread to hash", source))?;
            let mut at = 0;
            while at < before.bytes {
                let (data, end) =
                    next_data(file, at, before.bytes).map_err(PathError::on("read", source))?;
                if data > at {
                    hole(&mut hashing, data - at, source, stop)?;
                    at = data;
                }
                while at < end {
                    if stop() {
                        return Err(CopyError::Stopped(source.to_owned()));
                    }
                    let most = next_chunk(end - at);
                    let length = hashing.data(|space| -> Result<usize, CopyError> {
                        let length = read_at(file, &mut space[..most], at)
                            .map_err(PathError::on("read", source))?;
                        if let Some(part) = written {
                            part.file()
                                .write_all_at(&space[..length], at)
                                .map_err(PathError::on("write", part.path()))?;
                        }
                        Ok(length)
                    })?;
                    if length == 0 {
                        return Err(changed("it became shorter"));
                    }
                    at += length as u64;
                }
            }
            let sums = hashing.finish().map_err(PathError::on("hash", source))?;
            Ok(sums)
        })?;
        let after = Stamp::of(&file.metadata().map_err(PathError::on("read", source))?);
        if after.bytes != before.bytes {
            return Err(changed("its size"));
        }
        if after.mtime != before.mtime || after.ctime != before.ctime {
            return Err(changed("its times"));
        }
        if !is_at(file, source).map_err(PathError::on("read", source))? {
            return Err(changed("it was replaced"));
        }
        Ok(Hashed {
            sums,
            stamp: before,
        })
    }
}

/// Zeros in portions, so that a stop is heard in a file of terabytes of nothing.
fn hole(
    hashing: &mut Hashing<'_>,
    mut length: u64,
    source: &Path,
    stop: Stop<'_>,
) -> Result<(), CopyError> {
    const PORTION: u64 = 64 * 1024 * 1024;
    while length > 0 {
        if stop() {
            return Err(CopyError::Stopped(source.to_owned()));
        }
        let portion = length.min(PORTION);
        hashing.hole(portion);
        length -= portion;
    }
    Ok(())
}

pub(super) fn read_at(file: &File, space: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match file.read_at(space, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}
