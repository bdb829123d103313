//! Initial RAM disks: cpio archives of the "newc" format, one after the other, plain or compressed.
//!
//! Source: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel.

use std::io;

use crate::inspect::compress::{Compression, StreamParts};
use crate::inspect::machine::HEAD;
use crate::inspect::report::{Looking, rooted};
use crate::inspect::source::{Stream, invalid};

/// The length of an entry's header in bytes.
const HEADER: usize = 110;

/// The longest name in bytes, with its terminator: the kernel's PATH_MAX.
const NAME: u32 = 4096;

/// The mask of the type in an entry's mode, and the type of a regular file.
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;

/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// The depth of compression inside of compression.
const DEPTH: u32 = 2;

/// Whether data begins like a cpio archive.
pub(super) fn is_cpio(head: &[u8]) -> bool {
    head.starts_with(b"070701") || head.starts_with(b"070702")
}

/// Checks every program in every archive. Returns the number of archives.
///
/// # Errors
/// When the data cannot be read, or is neither an archive nor a compressed one.
pub(super) fn read(stream: &mut Stream<'_>, looking: &mut Looking<'_>) -> io::Result<u64> {
    archives(stream, looking, DEPTH)
}

fn archives(stream: &mut Stream<'_>, looking: &mut Looking<'_>, depth: u32) -> io::Result<u64> {
    let mut archives = 0;
    while stream.skip_zeros()? {
        let head = stream.peek(6)?;
        if is_cpio(head) {
            archive(stream, looking)?;
            archives += 1;
        } else if let Some(compression) = Compression::of(head).filter(|_| depth > 0) {
            let mut unpacked = compression.unpack(stream, StreamParts::One)?;
            archives += self::archives(&mut unpacked, looking, depth - 1)?;
        } else {
            return Err(invalid(match archives {
                0 => "it begins with neither a cpio archive nor compressed data",
                _ => "after a cpio archive follows neither another nor compressed data",
            }));
        }
    }
    Ok(archives)
}

/// Reads one archive to its trailer.
fn archive(stream: &mut Stream<'_>, looking: &mut Looking<'_>) -> io::Result<()> {
    loop {
        let header = stream.peek(HEADER)?;
        if header.len() < HEADER {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !is_cpio(header) {
            return Err(invalid("a cpio entry without its magic number"));
        }
        // After the magic number: 13 numbers of 8 hexadecimal digits.
        let (mode, size, name_size) = (number(header, 1)?, number(header, 6)?, number(header, 11)?);
        if !(1..=NAME).contains(&name_size) {
            return Err(invalid(format!(
                "a cpio entry with a name of {name_size} bytes"
            )));
        }
        let name_end = HEADER + name_size as usize;
        let named = stream.peek(name_end)?;
        let name = named
            .get(HEADER..name_end - 1)
            .filter(|_| named.len() == name_end)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if name == TRAILER {
            return stream.skip(padded(name_end as u64) + padded(u64::from(size)));
        }
        let path = rooted(&String::from_utf8_lossy(name));
        stream.skip(padded(name_end as u64))?;
        if mode & S_IFMT == S_IFREG {
            let head = stream.peek(HEAD.min(size as usize))?;
            looking.program(&path, head);
        }
        stream.skip(padded(u64::from(size)))?;
    }
}

fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(4)
}

fn number(header: &[u8], index: usize) -> io::Result<u32> {
    let at = 6 + 8 * index;
    header
        .get(at..at + 8)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| invalid("a cpio entry with a field that is no number"))
}
