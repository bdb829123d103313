//! The frame that a Nix archive (NAR) puts around one regular file. Nix's database holds the SHA-256
//! of a path's archive, not of its bytes, so comparing with it takes this frame.
//!
//! Source: figure 5.2 of E. Dolstra, "The Purely Functional Software Deployment Model" (2006), and
//! `src/libutil/archive.cc` of Nix: each string is its length as 64-bit little endian, its bytes, and
//! zeros up to a multiple of eight.

/// The archive before the bytes of a file of `size` bytes.
#[must_use]
pub fn header(size: u64, executable: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(144);
    let executable: &[&str] = if executable { &["executable", ""] } else { &[] };
    let words = [
        &["nix-archive-1", "(", "type", "regular"],
        executable,
        &["contents"],
    ];
    for word in words.concat() {
        string(&mut out, word);
    }
    out.extend_from_slice(&size.to_le_bytes());
    out
}

/// The archive after the bytes.
#[must_use]
pub fn trailer(size: u64) -> Vec<u8> {
    let mut out = vec![0; padding(size)];
    string(&mut out, ")");
    out
}

fn string(out: &mut Vec<u8>, text: &str) {
    let length = text.len() as u64;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    out.resize(out.len() + padding(length), 0);
}

fn padding(length: u64) -> usize {
    // At most seven, so the cast loses nothing.
    ((8 - length % 8) % 8) as usize
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::base::nix32;

    #[test]
    fn hash_of_a_small_archive() {
        // `nix-store -q --hash` of a path that holds "hello\n".
        let mut archive = header(6, false);
        archive.extend_from_slice(b"hello\n");
        archive.extend_from_slice(&trailer(6));
        assert_eq!(
            nix32::encode(&Sha256::digest(&archive)),
            "04zwf782yjwnh3q6hz5izfd6jyip8kgw6g6yj43fiqhbyhdd0dqw"
        );
        assert_eq!(header(6, true).len(), header(6, false).len() + 32);
        assert_eq!(trailer(8).len(), 16);
        assert_eq!(trailer(9).len(), 23);
    }
}
