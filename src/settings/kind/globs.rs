//! Settings that are lists of globs, over names or over paths, checked when they are read. Knows nothing of
//! what they match.

use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use super::{Kind, Wrong, array, non_empty, show_words, words};
use crate::model::pattern::Pattern;

/// A list of globs over names. In a variable they are split as in a shell.
pub(crate) struct Globs;

impl Globs {
    fn element(text: &str) -> Result<String, Wrong> {
        match Pattern::new(non_empty(text)?) {
            Ok(_) => Ok(text.to_owned()),
            Err(why) => Err(Wrong::new(format!("`{text}` is not a glob: {why}"))),
        }
    }
}

impl Kind for Globs {
    type Value = Vec<String>;

    fn expected() -> String {
        "a list of globs as strings".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<Wrong>> {
        array(&Self::expected(), value, Self::element)
    }
    fn from_text(text: &str) -> Result<Self::Value, Wrong> {
        words(text)?
            .iter()
            .map(|word| Self::element(word))
            .collect()
    }
    fn show(value: &Self::Value) -> String {
        show_words(value)
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": { "type": "string", "minLength": 1 } })
    }
}

/// A list of globs over paths that begin with `/`; `*` does not go over a `/`, `**` does.
pub(crate) struct PathGlobs;

impl PathGlobs {
    fn element(text: &str) -> Result<String, Wrong> {
        if !text.starts_with(['/', '*']) {
            return Err(Wrong::new(format!("`{text}` matches no path"))
                .hint("paths begin with `/`: write `/opt/firmware/**`, or `**/name`"));
        }
        globset::Glob::new(text)
            .map(|_| text.to_owned())
            .map_err(|error| Wrong::new(format!("`{text}` is not a glob: {}", error.kind())))
    }
}

impl Kind for PathGlobs {
    type Value = Vec<String>;

    fn expected() -> String {
        "a list of globs as strings".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<Wrong>> {
        array(&Self::expected(), value, Self::element)
    }
    fn from_text(text: &str) -> Result<Self::Value, Wrong> {
        words(text)?
            .iter()
            .map(|word| Self::element(word))
            .collect()
    }
    fn show(value: &Self::Value) -> String {
        show_words(value)
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": { "type": "string", "pattern": "^[/*]" } })
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
