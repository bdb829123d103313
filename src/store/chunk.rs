//! Chunks: how much of a file is read, hashed and compressed at a time, and runs of zeros cut to them.

use std::iter;

/// Bytes in a chunk. Smaller ones cost a switch of threads too often.
pub const CHUNK: usize = 512 * 1024;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Bytes in the next chunk where `left` are left.
pub(super) fn next_chunk(left: u64) -> usize {
    usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))
}

/// A run of `length` zeros, in chunks.
pub(super) fn zeros(mut length: u64) -> impl Iterator<Item = &'static [u8]> {
    iter::from_fn(move || {
        let piece = next_chunk(length);
        length -= piece as u64;
        (piece > 0).then(|| &ZEROS[..piece])
    })
}
