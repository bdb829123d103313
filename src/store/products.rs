//! Makes products of a file, all in one read: a copy compressed by zstd, and a block map. Knows nothing of
//! what is in the file.
//!
//! Holes cost no reads: products get zeros without one. zstd compresses in threads of its own, in
//! jobs of a fixed size, so that what comes out depends neither on how many there are nor on where the holes
//! lie. A block map tells exactly the holes: zeros that were written may have to lie on the medium.
//!
//! Blocking; memory is bounded: for each thread a few jobs.

mod bmap;
#[cfg(test)]
mod tests;
mod zst;

use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::fs::stamp::Stamp;
use crate::fs::{PartFile, PathError};
use crate::store::chunk::{CHUNK, next_chunk, zeros};
use crate::store::copy::{CopyError, Stop, open, read_at};
use crate::store::product::Method;
use crate::store::products::bmap::BmapCopy;
use crate::store::products::zst::ZstdCopy;

/// The blocks of block maps, in bytes: those that bmaptool itself uses.
pub const BLOCK: u64 = 4096;

/// The source of products.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file; a change while it is read is an error.
    pub path: &'a Path,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where it has data, in whole blocks; the rest is zeros.
    pub data: &'a [Range<u64>],
    /// The state in which it was hashed, where it is read in the same place.
    pub known: Option<Stamp>,
}

/// A product that is complete and on the disk, and not in its place yet.
#[derive(Debug)]
pub struct Made {
    /// The file.
    pub part: PartFile,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// Makes of `source` what is wanted: for each method where its product will be.
///
/// # Errors
/// See [`CopyError`]; nothing is left then.
pub fn make(
    source: Source<'_>,
    wanted: &[(Method, PathBuf)],
    threads: u32,
    stop: Stop<'_>,
) -> Result<Vec<Made>, CopyError> {
    let Source {
        path,
        bytes,
        data,
        known,
    } = source;
    let (file, state) = open(path)?;
    let changed = |what| CopyError::Changed {
        path: path.to_owned(),
        what,
    };
    if state.bytes != bytes {
        return Err(changed("its size"));
    }
    if known.is_some_and(|known| known != state) {
        return Err(changed("its state, since it was hashed"));
    }
    let mut makers = wanted
        .iter()
        .map(|(method, dest)| start(*method, dest, bytes, threads))
        .collect::<Result<Vec<_>, _>>()?;
    let stopped = || CopyError::Stopped(path.to_owned());
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    let end = bytes..bytes;
    for range in data.iter().chain([&end]) {
        for zeros in zeros(range.start.saturating_sub(at)) {
            if stop() {
                return Err(stopped());
            }
            for maker in &mut makers {
                maker.hole(zeros)?;
            }
        }
        at = at.max(range.start);
        while at < range.end {
            if stop() {
                return Err(stopped());
            }
            let space = &mut buffer[..next_chunk(range.end - at)];
            let length = read_at(&file, space, at).map_err(PathError::on("read", path))?;
            if length == 0 {
                return Err(changed("it became shorter"));
            }
            for maker in &mut makers {
                maker.data(&space[..length])?;
            }
            at += length as u64;
        }
        for maker in &mut makers {
            maker.end_of(range);
        }
    }
    let after = file.metadata().map_err(PathError::on("read", path))?;
    if Stamp::of(&after) != state {
        return Err(changed("its state"));
    }
    let made = makers.into_iter().map(finish);
    Ok(made.collect::<Result<Vec<_>, _>>()?)
}

/// A product that is being made, from the bytes of its source in order.
trait ProductMaker {
    /// Zeros of a hole.
    fn hole(&mut self, zeros: &[u8]) -> Result<(), PathError>;

    /// Bytes of a data range.
    fn data(&mut self, data: &[u8]) -> Result<(), PathError>;

    /// The end of a data range.
    fn end_of(&mut self, range: &Range<u64>) {
        let _ = range;
    }

    /// Writes the rest of the product, which is not synced yet.
    fn finish(self: Box<Self>) -> Result<Output, PathError>;
}

/// Starts the product at `dest` of a source of `bytes` bytes.
fn start(
    method: Method,
    dest: &Path,
    bytes: u64,
    threads: u32,
) -> Result<Box<dyn ProductMaker>, PathError> {
    let output = Output {
        part: PartFile::create(dest)?,
        bytes: 0,
        sha256: Sha256::new(),
    };
    Ok(match method {
        Method::Zst(level) => Box::new(ZstdCopy::start(output, level, (bytes, dest), threads)?),
        Method::Bmap => Box::new(BmapCopy::new(output, bytes)),
    })
}

/// Completes a product on the disk.
fn finish(maker: Box<dyn ProductMaker>) -> Result<Made, PathError> {
    let output = maker.finish()?;
    let part = output.part;
    part.file()
        .sync_all()
        .map_err(PathError::on("sync", part.path()))?;
    Ok(Made {
        part,
        bytes: output.bytes,
        sha256: output.sha256.finalize().into(),
    })
}

/// A file that is hashed while it is written.
struct Output {
    part: PartFile,
    bytes: u64,
    sha256: Sha256,
}

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut file = self.part.file();
        let length = file.write(data)?;
        self.sha256.update(&data[..length]);
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
