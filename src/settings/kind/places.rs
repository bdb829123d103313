//! Settings that are lists of paths. Knows nothing of what lies there.

use std::path::PathBuf;

use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use super::{Base, Kind, Wrong, array, non_empty, show_words, words};

/// A list of paths of files and directories. In a variable they are split as in a shell.
pub(crate) struct Places;

impl Kind for Places {
    type Value = Vec<PathBuf>;

    fn expected() -> String {
        "a list of paths as strings".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<Wrong>> {
        array(&Self::expected(), value, |text| {
            non_empty(text).map(PathBuf::from)
        })
    }
    fn from_text(text: &str) -> Result<Self::Value, Wrong> {
        Ok(words(text)?.into_iter().map(PathBuf::from).collect())
    }
    fn anchor(value: Self::Value, base: Base<'_>) -> Self::Value {
        value.iter().map(|path| base.absolute(path)).collect()
    }
    fn show(value: &Self::Value) -> String {
        let shown: Vec<String> = value
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        show_words(&shown)
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": { "type": "string", "minLength": 1 } })
    }
}
