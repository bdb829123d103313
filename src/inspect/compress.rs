//! Compressed data: recognised by its first bytes, and unpacked as a stream in bounded memory.
//!
//! Magic numbers: RFC 1952, the .xz and .lzma formats of XZ Utils, RFC 8878, bzip2, and the LZ4 frame format
//! with its legacy form, which the kernel uses.

use std::io::{self, Read};

use liblzma::stream::{CONCATENATED, Stream as Lzma};

use crate::inspect::source::Stream;

/// Memory limit for unpacking xz, in bytes: the need of `xz -9`.
const XZ_MEMORY: u64 = 66 << 20;

/// The largest window of zstd, as a power of two: 32 MiB; `zstd -19` uses 8 MiB.
const ZSTD_WINDOW: u32 = 25;

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Xz,
    Lzma,
    Zstd,
    Bzip2,
    Lz4,
}

/// The handling of several compressed parts in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamParts {
    /// Only the first is unpacked; the stream is then behind it.
    One,
    /// All are unpacked, as gzip does.
    All,
}

impl Compression {
    /// The compression format of data that begins with `head`.
    pub(super) fn of(head: &[u8]) -> Option<Compression> {
        const MAGIC: [(&[u8], Compression); 7] = [
            (b"\x1f\x8b\x08", Compression::Gzip),
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"\x5d\0\0", Compression::Lzma),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
            (b"BZh", Compression::Bzip2),
            (b"\x04\x22\x4d\x18", Compression::Lz4),
            (b"\x02\x21\x4c\x18", Compression::Lz4),
        ];
        MAGIC
            .into_iter()
            .find(|(magic, _)| head.starts_with(magic))
            .map(|(_, compression)| compression)
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Lzma => "lzma",
            Compression::Zstd => "zstd",
            Compression::Bzip2 => "bzip2",
            Compression::Lz4 => "lz4",
        }
    }

    /// The unpacked content of `packed`.
    pub(super) fn unpack<'a, 'b: 'a>(
        self,
        packed: &'a mut Stream<'b>,
        parts: StreamParts,
    ) -> io::Result<Stream<'a>> {
        let budget = packed.budget.unpacked();
        let all = parts == StreamParts::All;
        let inner: Box<dyn Read + 'a> = match self {
            Compression::Gzip if all => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Compression::Gzip => Box::new(flate2::bufread::GzDecoder::new(packed)),
            Compression::Xz | Compression::Lzma => {
                let flags = if all { CONCATENATED } else { 0 };
                let stream = Lzma::new_auto_decoder(XZ_MEMORY, flags)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
            }
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Box::new(if all { decoder } else { decoder.single_frame() })
            }
            Compression::Bzip2 if all => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
            Compression::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(packed)),
            // A legacy frame has no end mark, so it is always the last part.
            Compression::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(packed)),
        };
        Ok(Stream::new(inner, budget))
    }
}
