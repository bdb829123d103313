//! Hexadecimal text of hashes, in lower case.

use std::fmt::Write as _;

/// Encodes bytes, two digits a byte.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Decodes a SHA-256; `None` unless `text` has exactly 64 hexadecimal digits.
#[must_use]
pub fn decode_sha256(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_reverses_encoding() {
        let bytes: [u8; 32] = std::array::from_fn(|index| (index * 9) as u8);

        assert_eq!(decode_sha256(&encode(&bytes)), Some(bytes));
    }

    #[test]
    fn only_64_digits_are_a_sha256() {
        assert_eq!(decode_sha256("00"), None);
        assert_eq!(decode_sha256(&"g".repeat(64)), None);
        assert_eq!(decode_sha256(&"+1".repeat(32)), None);
        assert_eq!(decode_sha256(&"ä".repeat(32)), None);
    }
}
