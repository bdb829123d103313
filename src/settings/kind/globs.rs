//! A setting that is a list of globs, checked when it is read. Knows nothing of what they match.

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
