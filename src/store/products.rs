//! The products, one file each. [`make`] makes several of a file in one read.
//!
//! To add one, write a file with a type that implements [`Product`], and add a line to [`PRODUCTS`].
//!
//! Holes cost no reads: products get zeros without one. zstd compresses in threads of its own, in jobs of a fixed size,
//! so that the output depends neither on their number nor on the place of the holes. A block map lists exactly the data
//! ranges: written zeros may have to be on the medium.
//!
//! Blocking; memory is bounded: some jobs for each thread.

mod bmap;
#[cfg(test)]
mod tests;
mod zst;

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::fs::stamp::Stamp;
use crate::fs::{PartFile, PathError};
use crate::store::chunk::{CHUNK, next_chunk, zeros};
use crate::store::copy::{CopyError, Stop, open, read_at};
use crate::store::product::{Method, ProductInfo};

/// The products, in the order of messages.
pub static PRODUCTS: &[&dyn Product] = &[&zst::Zst, &bmap::Bmap];

/// A kind of product.
pub trait Product: Send + Sync + fmt::Debug {
    /// Its entry in variants.toml, plans and records.
    fn info(&self) -> &'static ProductInfo;

    /// Starts the product of one file, which is written into `output`. It gets the bytes of the file in order.
    ///
    /// # Errors
    /// What keeps it from being written.
    fn start(
        &self,
        output: ProductOutput,
        job: &ProductJob<'_>,
    ) -> Result<Box<dyn ProductMaker>, PathError>;
}

/// The job of making one product.
#[derive(Debug, Clone, Copy)]
pub struct ProductJob<'a> {
    /// The product's level, where it has levels.
    pub level: Option<u8>,
    /// The size of the source in bytes.
    pub bytes: u64,
    /// The place of the product.
    pub dest: &'a Path,
    /// The threads that it may use.
    pub threads: u32,
}

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

/// The products to make of one file.
#[derive(Clone, Copy)]
pub struct WantedProducts<'a> {
    /// Each method, and the place of its product.
    pub places: &'a [(Method, PathBuf)],
    /// The products that there are.
    pub known: &'a [&'static dyn Product],
}

/// Makes the wanted products of `source`.
///
/// # Errors
/// See [`CopyError`]; nothing is left then.
pub fn make(
    source: Source<'_>,
    wanted: WantedProducts<'_>,
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
        .places
        .iter()
        .map(|(method, dest)| {
            let job = ProductJob {
                level: method.level,
                bytes,
                dest,
                threads,
            };
            start(wanted.known, method.info, &job)
        })
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
pub trait ProductMaker {
    /// Zeros of a hole.
    ///
    /// # Errors
    /// What keeps the product from being written; also below.
    fn hole(&mut self, zeros: &[u8]) -> Result<(), PathError>;

    /// Bytes of a data range.
    ///
    /// # Errors
    /// As [`ProductMaker::hole`].
    fn data(&mut self, data: &[u8]) -> Result<(), PathError>;

    /// The end of a data range.
    fn end_of(&mut self, range: &Range<u64>) {
        let _ = range;
    }

    /// Writes the rest of the product, which is not synced yet.
    ///
    /// # Errors
    /// As [`ProductMaker::hole`].
    fn finish(self: Box<Self>) -> Result<ProductOutput, PathError>;
}

fn start(
    known: &[&'static dyn Product],
    info: &ProductInfo,
    job: &ProductJob<'_>,
) -> Result<Box<dyn ProductMaker>, PathError> {
    let product = known.iter().find(|one| one.info().word == info.word);
    let product = product.ok_or_else(|| {
        let missing = format!("there is no product `{}`", info.word);
        PathError::on("make", job.dest)(io::Error::other(missing))
    })?;
    let output = ProductOutput {
        part: PartFile::create(job.dest)?,
        bytes: 0,
        sha256: Sha256::new(),
    };
    product.start(output, job)
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

/// The file of a product, hashed while it is written.
#[derive(Debug)]
pub struct ProductOutput {
    part: PartFile,
    bytes: u64,
    sha256: Sha256,
}

impl ProductOutput {
    /// The present path of the file, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.part.path()
    }
}

impl Write for ProductOutput {
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
