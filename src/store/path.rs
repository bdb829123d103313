//! Store names, and the store path that Nix gives to a flat fixed-output file. Knows nothing of
//! whether such a path exists.
//!
//! Source: chapter "Store path specification" of the Nix manual and `makeFixedOutputPath` in
//! `src/libstore/store-api.cc`; `nix-store --print-fixed-path sha256 HASH NAME` prints the same.

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::base::{hex, nix32};

/// The longest store name, in bytes.
pub const MAX_NAME: usize = 211;

/// The store directory of an ordinary installation of Nix.
pub const NIX_STORE_DIR: &str = "/nix/store";

/// Why a name cannot be the name of a store path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// It is empty.
    #[error("the name is empty")]
    Empty,
    /// It is longer than [`MAX_NAME`].
    #[error("the name has {0} bytes, Nix takes at most {MAX_NAME}")]
    TooLong(usize),
    /// It begins with a dot, which some versions of Nix take and others refuse.
    #[error("the name `{0}` begins with a dot")]
    LeadingDot(String),
    /// It holds a character that Nix refuses.
    #[error("the name `{name}` holds `{character}`; Nix takes letters, digits and `+-._?=`")]
    Character {
        /// The name.
        name: String,
        /// The first such character.
        character: char,
    },
}

/// Whether Nix, in every version, takes `name` as the name of a store path.
///
/// # Errors
/// When it does not, with the reason.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong(name.len()));
    }
    if name.starts_with('.') {
        return Err(NameError::LeadingDot(name.to_owned()));
    }
    match name
        .chars()
        .find(|&c| !c.is_ascii_alphanumeric() && !"+-._?=".contains(c))
    {
        Some(character) => Err(NameError::Character {
            name: name.to_owned(),
            character,
        }),
        None => Ok(()),
    }
}

/// The base name (`<32 characters>-<name>`) of the path in the store `store_dir` of a flat file with
/// this SHA-256. The store directory is part of what is hashed.
///
/// # Errors
/// When the name cannot be one, see [`check_name`].
pub fn flat_base_name(store_dir: &str, sha256: &[u8; 32], name: &str) -> Result<String, NameError> {
    check_name(name)?;
    let inner = Sha256::digest(format!("fixed:out:sha256:{}:", hex::encode(sha256)));
    let fingerprint = format!(
        "output:out:sha256:{}:{store_dir}:{name}",
        hex::encode(&inner)
    );
    let mut folded = [0_u8; 20];
    for (place, byte) in Sha256::digest(fingerprint).iter().enumerate() {
        folded[place % 20] ^= byte;
    }
    Ok(format!("{}-{name}", nix32::encode(&folded)))
}

/// The whole path; see [`flat_base_name`].
///
/// # Errors
/// When the name cannot be one, see [`check_name`].
pub fn flat_path(store_dir: &str, sha256: &[u8; 32], name: &str) -> Result<String, NameError> {
    Ok(format!(
        "{store_dir}/{}",
        flat_base_name(store_dir, sha256, name)?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_path() {
        // `nix-store --print-fixed-path sha256 <hash of "hello\n"> a.img`.
        let sha256: [u8; 32] = Sha256::digest(b"hello\n").into();
        assert_eq!(
            flat_path(NIX_STORE_DIR, &sha256, "a.img").unwrap(),
            "/nix/store/rnaf8hi19sl64krbcfnmqin7ai0y8mgb-a.img"
        );
    }

    #[test]
    fn names() {
        assert_eq!(check_name("isar-base-qemuamd64.wic"), Ok(()));
        assert_eq!(check_name(&"a".repeat(211)), Ok(()));
        insta::assert_snapshot!(
            ["", ".a", "a/b", "a b", "ä", &"a".repeat(212)]
                .map(|name| check_name(name).unwrap_err().to_string())
                .join("\n"),
            @"
        the name is empty
        the name `.a` begins with a dot
        the name `a/b` holds `/`; Nix takes letters, digits and `+-._?=`
        the name `a b` holds ` `; Nix takes letters, digits and `+-._?=`
        the name `ä` holds `ä`; Nix takes letters, digits and `+-._?=`
        the name has 212 bytes, Nix takes at most 211
        ");
    }
}
