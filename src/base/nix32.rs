//! Nix base32: the encoding of hashes and of the digest in store paths.
//!
//! Source: `printHash32` and `parseHash32` of Nix's `src/libutil/hash.cc`. The alphabet leaves out
//! `e`, `o`, `u` and `t`; five-bit groups are taken from the end of the byte string, so the text reads
//! most significant group first.

use thiserror::Error;

/// The 32 characters, in the order of their values.
pub const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// Length of an encoded SHA-256, in characters.
pub const SHA256_LEN: usize = 52;

/// Why a text is not a SHA-256 in Nix base32.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Nix32Error {
    /// The wrong length, in characters.
    #[error("a SHA-256 in Nix base32 has {SHA256_LEN} characters, not {0}")]
    Length(usize),
    /// A character outside the alphabet.
    #[error("`{character}` at position {column} is not a character of Nix base32")]
    Character {
        /// The character.
        character: char,
        /// Its position, counted from 1.
        column: usize,
    },
    /// A first character that would need a 257th bit.
    #[error("the first character must be 0 or 1")]
    Overflow,
}

/// Encodes bytes: the 32 of a SHA-256 as [`SHA256_LEN`] characters, the 20 of a store path as 32.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let length = (bytes.len() * 8).div_ceil(5);
    (0..length)
        .rev()
        .map(|group| {
            let bit = group * 5;
            let (byte, shift) = (bit / 8, bit % 8);
            let low = u16::from(bytes[byte]);
            let high = bytes.get(byte + 1).map_or(0, |&next| u16::from(next));
            let value = ((high << 8 | low) >> shift) & 0x1f;
            char::from(ALPHABET[usize::from(value)])
        })
        .collect()
}

/// Decodes a SHA-256.
///
/// # Errors
/// [`Nix32Error`] if `text` is not the encoding of 32 bytes.
pub fn decode(text: &str) -> Result<[u8; 32], Nix32Error> {
    let length = text.chars().count();
    if length != SHA256_LEN {
        return Err(Nix32Error::Length(length));
    }
    let mut bytes = [0_u8; 32];
    for (place, character) in text.chars().enumerate() {
        let value = ALPHABET
            .iter()
            .position(|&known| char::from(known) == character)
            .and_then(|value| u8::try_from(value).ok())
            .ok_or(Nix32Error::Character {
                character,
                column: place + 1,
            })?;
        let bit = (SHA256_LEN - 1 - place) * 5;
        let (byte, shift) = (bit / 8, bit % 8);
        let spread = u16::from(value) << shift;
        let [low, high] = spread.to_le_bytes();
        bytes[byte] |= low;
        match bytes.get_mut(byte + 1) {
            Some(next) => *next |= high,
            None if high != 0 => return Err(Nix32Error::Overflow),
            None => {}
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn encode_agrees_with_nix_hash() {
        // From `printf … | nix-hash --type sha256 --flat --base32 /dev/stdin`.
        assert_eq!(
            encode(&Sha256::digest(b"hello\n")),
            "00xyyr3fi8l6hb839bv3f7yb86yjv7xi1cgh1xnhipym4asvb4aq"
        );
        assert_eq!(encode(&[0; 32]), "0".repeat(52));
        assert_eq!(encode(&[0xff; 32]), format!("1{}", "z".repeat(51)));
    }

    #[test]
    fn decode_refuses_length_alphabet_and_overflow() {
        assert_eq!(decode("abc"), Err(Nix32Error::Length(3)));
        assert_eq!(
            decode(&format!("e{}", "0".repeat(51))),
            Err(Nix32Error::Character {
                character: 'e',
                column: 1
            })
        );
        assert_eq!(
            decode(&format!("2{}", "0".repeat(51))),
            Err(Nix32Error::Overflow)
        );
    }

    proptest! {
        #[test]
        fn decode_inverts_encode(bytes: [u8; 32]) {
            prop_assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }
    }
}
