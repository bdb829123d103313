//! Products: files that the tool makes of a deployed artifact, to be released beside it. Pure: their words, names and
//! levels. [`crate::store::products`] makes them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// The entry of a product in variants.toml, plans and records.
#[derive(Debug)]
pub struct ProductInfo {
    /// Its word in variants.toml, unique; records have it, too.
    pub word: &'static str,
    /// The end of its name, after the name of its artifact.
    pub suffix: &'static str,
    /// The levels that may follow the word, as in `zst:9`; `None` for a product without levels.
    pub levels: Option<ProductLevels>,
}

/// The levels of a product.
#[derive(Debug)]
pub struct ProductLevels {
    /// The valid levels.
    pub range: RangeInclusive<u8>,
    /// The level of the word alone.
    pub default: u8,
}

/// A copy compressed by zstd. Levels above 19 need more memory to decompress; 3 is zstd's own default.
pub static ZST: ProductInfo = ProductInfo {
    word: "zst",
    suffix: ".zst",
    levels: Some(ProductLevels {
        range: 1..=19,
        default: 3,
    }),
};

/// A block map for bmaptool.
pub static BMAP: ProductInfo = ProductInfo {
    word: "bmap",
    suffix: ".bmap",
    levels: None,
};

/// A product with its level.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// The product.
    pub info: &'static ProductInfo,
    /// The level; `None` exactly where the product has none.
    pub level: Option<u8>,
}

impl Method {
    /// A product at its default level.
    #[must_use]
    pub fn of(info: &'static ProductInfo) -> Method {
        Method {
            info,
            level: info.levels.as_ref().map(|levels| levels.default),
        }
    }

    /// zstd at this level, which must be valid.
    #[must_use]
    pub fn zst(level: u8) -> Method {
        Method {
            level: Some(level),
            ..Method::of(&ZST)
        }
    }

    /// A block map.
    #[must_use]
    pub fn bmap() -> Method {
        Method::of(&BMAP)
    }

    /// Reads `WORD` or `WORD:LEVEL` of one of the `known` products.
    ///
    /// # Errors
    /// When the word is unknown, or the level is not one of its product.
    pub fn parse(text: &str, known: &[&'static ProductInfo]) -> Result<Method, UnknownProduct> {
        let unknown = || UnknownProduct(text.to_owned());
        let (word, level) = match text.split_once(':') {
            Some((word, level)) => (word, Some(level)),
            None => (text, None),
        };
        let info = known.iter().find(|info| info.word == word);
        let method = info.map(|info| Method::of(info)).ok_or_else(unknown)?;
        let Some(level) = level else {
            return Ok(method);
        };
        let levels = method.info.levels.as_ref().ok_or_else(unknown)?;
        u8::from_str(level)
            .ok()
            .filter(|level| levels.range.contains(level))
            .map(|level| Method {
                level: Some(level),
                ..method
            })
            .ok_or_else(unknown)
    }

    /// The end of a product's name, after the name of its artifact.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        self.info.suffix
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Method) -> bool {
        (self.info.word, self.level) == (other.info.word, other.level)
    }
}

impl Eq for Method {}

impl Hash for Method {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.info.word, self.level).hash(state);
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Some(level) => write!(f, "{}:{level}", self.info.word),
            None => f.write_str(self.info.word),
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
pub struct DeclaredProduct {
    /// Its name in the output directory.
    pub unique_name: String,
    /// How it is made.
    pub method: Method,
}

impl DeclaredProduct {
    /// That of the artifact with this unique name.
    #[must_use]
    pub fn of(unique_name: &str, method: Method) -> DeclaredProduct {
        DeclaredProduct {
            unique_name: [unique_name, method.suffix()].concat(),
            method,
        }
    }
}

/// A text that names no product.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a known product")]
pub struct UnknownProduct(pub String);

/// A text that names no compression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a known compression")]
pub struct UnknownCompression(pub String);

/// The product that `compress` in variants.toml names: `zst`, `zst:LEVEL`, or `none`.
///
/// # Errors
/// When it is something else.
pub fn compression(text: &str) -> Result<Option<Method>, UnknownCompression> {
    match text {
        "none" => Ok(None),
        _ => Method::parse(text, &[&ZST])
            .map(Some)
            .map_err(|_| UnknownCompression(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compression_is_a_word_and_perhaps_a_level() {
        for (text, method) in [
            ("none", None),
            ("zst", Some(Method::zst(3))),
            ("zst:1", Some(Method::zst(1))),
            ("zst:19", Some(Method::zst(19))),
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
        let name = |method| DeclaredProduct::of("isar-base-m.wic", method).unique_name;
        assert_eq!(name(Method::zst(9)), "isar-base-m.wic.zst");
        assert_eq!(name(Method::bmap()), "isar-base-m.wic.bmap");
    }

    #[test]
    fn a_product_without_levels_accepts_none() {
        let known = [&ZST, &BMAP];

        assert_eq!(Method::parse("bmap", &known), Ok(Method::bmap()));
        assert_eq!(Method::parse("zst:9", &known), Ok(Method::zst(9)));
        for text in ["bmap:1", "sum", "zst:20", ""] {
            let unknown = Err(UnknownProduct(text.to_owned()));
            assert_eq!(Method::parse(text, &known), unknown);
        }
    }
}
