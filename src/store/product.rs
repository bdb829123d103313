//! Products: what is made here of an artifact that a build deployed, to be released beside it. Knows
//! nothing of how they are made.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// The levels of zstd that `compress` accepts. Higher levels need more memory to decompress.
pub const LEVELS: RangeInclusive<u8> = 1..=19;

/// The level of `zst` alone: zstd's own default.
const LEVEL: u8 = 3;

const ZST: &str = ".zst";
const BMAP: &str = ".bmap";

/// The ends of the names of all products.
pub const SUFFIXES: [&str; 2] = [ZST, BMAP];

/// How a product is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Compressed by zstd at this level.
    Zst(u8),
    /// A block map for bmaptool.
    Bmap,
}

impl Method {
    /// The end of a product's name, after the name of its artifact.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Method::Zst(_) => ZST,
            Method::Bmap => BMAP,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Method::Zst(level) => write!(f, "zst:{level}"),
            Method::Bmap => f.write_str("bmap"),
        }
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A file that is made of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    /// Its name in the output directory.
    pub unique_name: String,
    /// How it is made.
    pub method: Method,
}

impl Product {
    /// That of the artifact with this unique name.
    #[must_use]
    pub fn of(unique_name: &str, method: Method) -> Product {
        Product {
            unique_name: [unique_name, method.suffix()].concat(),
            method,
        }
    }
}

/// A text that names no compression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no compression that is known here")]
pub struct UnknownCompression(pub String);

/// Parses `compress` of variants.toml: `zst`, `zst:LEVEL`, or `none`.
///
/// # Errors
/// When it is something else.
pub fn compression(text: &str) -> Result<Option<Method>, UnknownCompression> {
    let unknown = || UnknownCompression(text.to_owned());
    match text.split_once(':') {
        None if text == "none" => Ok(None),
        None if text == "zst" => Ok(Some(Method::Zst(LEVEL))),
        Some(("zst", level)) => u8::from_str(level)
            .ok()
            .filter(|level| LEVELS.contains(level))
            .map(|level| Some(Method::Zst(level)))
            .ok_or_else(unknown),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compression_is_a_word_and_perhaps_a_level() {
        for (text, method) in [
            ("none", None),
            ("zst", Some(Method::Zst(3))),
            ("zst:1", Some(Method::Zst(1))),
            ("zst:19", Some(Method::Zst(19))),
        ] {
            assert_eq!(compression(text), Ok(method), "{text}");
        }
        for text in [
            "", "zstd", "gz", "zst:", "zst:0", "zst:20", "zst:-1", "zst:3:3", "none:3",
        ] {
            assert!(compression(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_product_has_its_artifacts_name_and_an_ending() {
        let name = |method| Product::of("isar-base-m.wic", method).unique_name;
        assert_eq!(name(Method::Zst(9)), "isar-base-m.wic.zst");
        assert_eq!(name(Method::Bmap), "isar-base-m.wic.bmap");
    }
}
