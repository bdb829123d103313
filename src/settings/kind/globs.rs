//! Settings that are lists of globs, over names or over paths, checked when they are read. Knows nothing of
//! what they match.

use std::marker::PhantomData;

use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use super::{Kind, Wrong, array, non_empty, show_words, words};
use crate::model::pattern::Pattern;

/// What one kind of glob must be.
pub(crate) trait Glob {
    /// The glob, or what is wrong with it.
    fn element(text: &str) -> Result<String, Wrong>;
    /// As a JSON Schema.
    fn schema() -> serde_json::Value;
}

/// A list of globs of one kind. In a variable they are split as in a shell.
pub(crate) struct ListOf<G>(PhantomData<G>);

/// A list of globs over names.
pub(crate) type Globs = ListOf<OverNames>;

/// A list of globs over paths that begin with `/`; `*` does not go over a `/`, `**` does.
pub(crate) type PathGlobs = ListOf<OverPaths>;

pub(crate) struct OverNames;

impl Glob for OverNames {
    fn element(text: &str) -> Result<String, Wrong> {
        match Pattern::new(non_empty(text)?) {
            Ok(_) => Ok(text.to_owned()),
            Err(why) => Err(Wrong::new(format!("`{text}` is not a glob: {why}"))),
        }
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

pub(crate) struct OverPaths;

impl Glob for OverPaths {
    fn element(text: &str) -> Result<String, Wrong> {
        if !text.starts_with(['/', '*']) {
            return Err(Wrong::new(format!("`{text}` matches no path"))
                .hint("paths begin with `/`: write `/opt/firmware/**`, or `**/name`"));
        }
        globset::Glob::new(text)
            .map(|_| text.to_owned())
            .map_err(|error| Wrong::new(format!("`{text}` is not a glob: {}", error.kind())))
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": "^[/*]" })
    }
}

impl<G: Glob> Kind for ListOf<G> {
    type Value = Vec<String>;

    fn expected() -> String {
        "a list of globs as strings".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<Wrong>> {
        array(&Self::expected(), value, G::element)
    }
    fn from_text(text: &str) -> Result<Self::Value, Wrong> {
        words(text)?.iter().map(|word| G::element(word)).collect()
    }
    fn show(value: &Self::Value) -> String {
        show_words(value)
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": G::schema() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_glob_is_said() {
        assert_eq!(Globs::from_text("'a b' *.bin").unwrap(), ["a b", "*.bin"]);
        assert!(Globs::from_text("[a").is_err());
        assert!(Globs::from_text("''").is_err());
    }
}
