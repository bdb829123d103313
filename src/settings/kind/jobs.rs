//! The kind of the setting `jobs`: a whole number, or a word.

use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use super::{Kind, Number, Wrong};
use crate::settings::choice::Jobs;

/// `auto`, or how many.
pub(crate) struct Parallel;

impl Kind for Parallel {
    type Value = Jobs;

    fn expected() -> String {
        format!("`auto` or a whole number from 1 to {}", Jobs::MOST)
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Jobs, Vec<Wrong>> {
        if let Some(text) = value.get_ref().as_str() {
            // A number is no string in TOML, and `"4"` is most likely meant as one.
            return Self::from_text(text).map_err(|wrong| vec![wrong.within(value)]);
        }
        let Some(integer) = value.get_ref().as_integer() else {
            return Err(vec![Wrong::wrong_type(&Self::expected(), value)]);
        };
        // Told in the words of this setting.
        Number::<u32, 1, 1024>::from_toml(value)
            .map(Jobs::Fixed)
            .map_err(|_| {
                let message = format!("expected {}, found {integer}", Self::expected());
                vec![Wrong::new(message).within(value)]
            })
    }
    fn from_text(text: &str) -> Result<Jobs, Wrong> {
        text.parse().map_err(Wrong::new)
    }
    fn show(value: &Jobs) -> String {
        value.to_string()
    }
    fn schema() -> serde_json::Value {
        json!({ "anyOf": [
            { "const": "auto" },
            { "type": "integer", "minimum": 1, "maximum": Jobs::MOST },
        ] })
    }
}
