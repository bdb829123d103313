//! One setting: its description, and its value for `config`.

use serde::Serialize;

use crate::settings::choices::StoreWord;
use crate::settings::kinds::SettingKind;
use crate::settings::layer::{Layer, Sourced};

/// The prefix of the variables of this tool.
pub(crate) const PREFIX: &str = "ISAR_BUILD_ALL_";

/// How the value of a variable becomes a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VariableReading {
    /// Its text is the value of the setting.
    Value,
    /// If it is set at all, the setting has this value.
    Presence(&'static str),
    /// If it is set to anything but `0`, the setting has this value.
    Switch(&'static str),
}

/// A variable of another program that also sets a setting, as `DL_DIR`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VariableAlias {
    pub(crate) name: &'static str,
    pub(crate) reading: VariableReading,
}

/// An alias whose text is the value.
pub(crate) const fn alias(name: &'static str) -> VariableAlias {
    VariableAlias {
        name,
        reading: VariableReading::Value,
    }
}

/// The description of a setting.
#[derive(Debug)]
pub struct Setting {
    /// The key in files.
    pub key: &'static str,
    /// The documentation, in Markdown.
    pub doc: &'static str,
    /// The option that sets it, for messages.
    pub(crate) option: &'static str,
    pub(crate) aliases: &'static [VariableAlias],
    pub(crate) schema: fn(&[StoreWord]) -> serde_json::Value,
}

impl Setting {
    /// The variable of this tool: `ISAR_BUILD_ALL_` and the key in capitals, `_` for `-` and `.`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "{PREFIX}{}",
            self.key.replace(['-', '.'], "_").to_uppercase()
        )
    }

    /// Every variable that sets it, the strongest first.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let aliases = self.aliases.iter().map(|alias| alias.name.to_owned());
        std::iter::once(self.variable()).chain(aliases).collect()
    }
}

/// Reads settings from all layers; the table calls it once for each setting.
pub(crate) trait SettingReader {
    /// The value of the setting `key`. `option` is its value on the command line.
    fn read<K: SettingKind>(
        &mut self,
        key: &'static str,
        option: Option<K::Value>,
        default: K::Value,
    ) -> Sourced<K::Value>;
}

/// A setting with its value, as `config` prints it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SettingEntry {
    /// The key.
    pub key: &'static str,
    /// The value as text.
    #[serde(skip)]
    pub shown: String,
    /// The value as JSON; null, and left out, if it is unset.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub value: serde_json::Value,
    /// The layer that set it.
    pub layer: Layer,
    /// The file and line, the variable, or the option; `None` for a default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The values that it overrides, the nearest layer first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<OverriddenSetting>,
}

/// An overridden value, as `config` prints it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverriddenSetting {
    /// The value as text.
    #[serde(skip)]
    pub shown: String,
    /// The value as JSON; null, and left out, if it is unset.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub value: serde_json::Value,
    /// The layer that set it.
    pub layer: Layer,
    /// The file and line, or the variable.
    pub place: String,
}

impl SettingEntry {
    pub(crate) fn new<K: SettingKind>(key: &'static str, sourced: &Sourced<K::Value>) -> Self
    where
        K::Value: Serialize,
    {
        // Serializing a value of any kind to JSON cannot fail.
        let json = |value: &K::Value| serde_json::to_value(value).unwrap_or_default();
        SettingEntry {
            key,
            shown: K::show(&sourced.value),
            value: json(&sourced.value),
            layer: sourced.layer,
            place: sourced.place.clone(),
            overrides: sourced
                .overrides
                .iter()
                .map(|overridden| OverriddenSetting {
                    shown: K::show(&overridden.value),
                    value: json(&overridden.value),
                    layer: overridden.layer,
                    place: overridden.place.clone(),
                })
                .collect(),
        }
    }
}
