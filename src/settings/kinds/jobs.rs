//! The kind of the setting `jobs`.

use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use crate::settings::choices::Jobs;
use crate::settings::kinds::kind::{SettingKind, ValueFault};
use crate::settings::kinds::number::NumberKind;

/// `auto`, or a number of builds.
pub(crate) struct JobsKind;

impl SettingKind for JobsKind {
    type Value = Jobs;

    fn expected() -> String {
        format!("`auto` or a whole number from 1 to {}", Jobs::MAX)
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Jobs, Vec<ValueFault>> {
        if let Some(text) = value.get_ref().as_str() {
            // `from_text` also reads `"4"`, which most likely means the number.
            return Self::from_text(text).map_err(|fault| vec![fault.within(value)]);
        }
        let Some(integer) = value.get_ref().as_integer() else {
            return Err(vec![ValueFault::wrong_type(&Self::expected(), value)]);
        };
        // The fault of `NumberKind` would not mention `auto`.
        NumberKind::<u32, 1, 1024>::from_toml(value)
            .map(Jobs::Fixed)
            .map_err(|_| {
                let message = format!("expected {}, found {integer}", Self::expected());
                vec![ValueFault::new(message).within(value)]
            })
    }
    fn from_text(text: &str) -> Result<Jobs, ValueFault> {
        text.parse().map_err(ValueFault::new)
    }
    fn show(value: &Jobs) -> String {
        value.to_string()
    }
    fn schema() -> serde_json::Value {
        json!({ "anyOf": [
            { "const": "auto" },
            { "type": "integer", "minimum": 1, "maximum": Jobs::MAX },
        ] })
    }
}
