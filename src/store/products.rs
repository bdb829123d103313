//! Makes products of a file, all in one read: a copy compressed by zstd, and a block map. Knows nothing of
//! what is in the file.
//!
//! Holes cost no reads: products get zeros without one. zstd compresses in threads of its own, in
//! jobs of a fixed size, so that what comes out depends neither on how many there are nor on where the holes
//! lie. A block map tells exactly the holes: zeros that were written may have to lie on the medium.
//!
//! Blocking; memory is bounded: for each thread a few jobs.

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

use crate::base::hex;
use crate::fs::stamp::Stamp;
use crate::fs::{PartFile, PathError};
use crate::store::chunk::{CHUNK, next_chunk, zeros};
use crate::store::copy::{CopyError, Stop, open, read_at};
use crate::store::product::Method;

/// The blocks of block maps, in bytes: those that bmaptool itself uses.
pub const BLOCK: u64 = 4096;

/// Threads of zstd at most. Each has three jobs in memory, and tables that grow with the level.
fn most_threads(level: u8) -> u32 {
    match level {
        0..=5 => 4,
        6..=12 => 2,
        _ => 1,
    }
}

/// The job of a thread of zstd, in bytes.
const JOB: u32 = 1 << 20;

/// How far back zstd looks, as a power of two: what decompressing needs, whatever the level.
const WINDOW: u32 = 21;

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
        .map(|(method, dest)| Maker::start(*method, dest, bytes, threads))
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
    let made = makers.into_iter().map(Maker::finish);
    Ok(made.collect::<Result<Vec<_>, _>>()?)
}

/// A product that is being made.
enum Maker {
    Zst(Encoder<'static, Output>),
    Bmap(Map),
}

impl Maker {
    fn start(method: Method, dest: &Path, bytes: u64, threads: u32) -> Result<Maker, PathError> {
        let output = Output {
            part: PartFile::create(dest)?,
            bytes: 0,
            sha256: Sha256::new(),
        };
        Ok(match method {
            Method::Zst(level) => Maker::Zst(
                encoder(output, level, bytes, threads)
                    .map_err(PathError::on("start zstd for", dest))?,
            ),
            Method::Bmap => Maker::Bmap(Map {
                output,
                image: bytes,
                ranges: Vec::new(),
                range: Sha256::new(),
            }),
        })
    }

    fn hole(&mut self, zeros: &[u8]) -> Result<(), PathError> {
        match self {
            Maker::Zst(encoder) => write(encoder, zeros),
            Maker::Bmap(_) => Ok(()),
        }
    }

    fn data(&mut self, data: &[u8]) -> Result<(), PathError> {
        match self {
            Maker::Zst(encoder) => write(encoder, data),
            Maker::Bmap(map) => {
                map.range.update(data);
                Ok(())
            }
        }
    }

    /// A range of data is over.
    fn end_of(&mut self, range: &Range<u64>) {
        if let Maker::Bmap(map) = self
            && !range.is_empty()
        {
            let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
            let sha256 = std::mem::take(&mut map.range).finalize().into();
            map.ranges.push((blocks, sha256));
        }
    }

    fn finish(self) -> Result<Made, PathError> {
        let output = match self {
            Maker::Zst(encoder) => {
                let part = encoder.get_ref().part.path().to_owned();
                encoder.finish().map_err(PathError::on("write", &part))?
            }
            Maker::Bmap(mut map) => {
                let text = map.text();
                map.output
                    .write_all(text.as_bytes())
                    .map_err(PathError::on("write", map.output.part.path()))?;
                map.output
            }
        };
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
}

fn write(encoder: &mut Encoder<'static, Output>, data: &[u8]) -> Result<(), PathError> {
    let written = encoder.write_all(data);
    written.map_err(PathError::on("write", encoder.get_ref().part.path()))
}

/// Says the size and a checksum in the frame, as the program zstd does. There is always a thread: without
/// one, zstd compresses otherwise.
fn encoder(
    output: Output,
    level: u8,
    bytes: u64,
    threads: u32,
) -> io::Result<Encoder<'static, Output>> {
    let mut encoder = Encoder::new(output, level.into())?;
    encoder.set_pledged_src_size(Some(bytes))?;
    encoder.include_checksum(true)?;
    encoder.window_log(WINDOW)?;
    encoder.multithread(threads.clamp(1, most_threads(level)))?;
    encoder.set_parameter(CParameter::JobSize(JOB))?;
    Ok(encoder)
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

/// A block map, of format version 2.0: what bmap-tools says in the comments of those that it writes.
struct Map {
    output: Output,
    /// The image's size in bytes.
    image: u64,
    /// Blocks with data, and the SHA-256 of their bytes.
    ranges: Vec<(Range<u64>, [u8; 32])>,
    /// That of the range that is read.
    range: Sha256,
}

impl Map {
    fn text(&self) -> String {
        let mapped: u64 = self
            .ranges
            .iter()
            .map(|(blocks, _)| blocks.end - blocks.start)
            .sum();
        let mut ranges = String::new();
        for (blocks, sha256) in &self.ranges {
            let last = blocks.end - 1;
            let numbers = if blocks.start == last {
                last.to_string()
            } else {
                format!("{}-{last}", blocks.start)
            };
            let sha256 = hex::encode(sha256);
            ranges += &format!("        <Range chksum=\"{sha256}\"> {numbers} </Range>\n");
        }
        let text = |checksum: &str| {
            format!(
                "<?xml version=\"1.0\" ?>\n\
                 <!-- A block map for bmaptool: which blocks of the image have data. -->\n\
                 <bmap version=\"2.0\">\n    \
                 <ImageSize> {image} </ImageSize>\n    \
                 <BlockSize> {BLOCK} </BlockSize>\n    \
                 <BlocksCount> {blocks} </BlocksCount>\n    \
                 <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    \
                 <ChecksumType> sha256 </ChecksumType>\n    \
                 <BmapFileChecksum> {checksum} </BmapFileChecksum>\n    \
                 <BlockMap>\n\
                 {ranges}    </BlockMap>\n\
                 </bmap>\n",
                image = self.image,
                blocks = self.image.div_ceil(BLOCK),
            )
        };
        // Its own checksum is that of the text with zeros in the checksum's place.
        let checksum: [u8; 32] = Sha256::digest(text(&"0".repeat(64))).into();
        text(&hex::encode(&checksum))
    }
}
