//! Settings that are words or variables.

use std::collections::BTreeMap;

use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use crate::base::kas_word::check_unsplit;
use crate::settings::kinds::kind::{
    SettingKind, ValueFault, list, non_empty, show_words, split, string,
};

/// A word, or unset.
pub(crate) struct WordKind;

impl SettingKind for WordKind {
    type Value = Option<String>;

    fn expected() -> String {
        "a string".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<ValueFault>> {
        string::<Self>(value)
    }
    fn from_text(text: &str) -> Result<Self::Value, ValueFault> {
        let word = non_empty(text)?;
        if check_unsplit(word).is_err() {
            return Err(ValueFault::new(format!("`{word}` contains white space")));
        }
        Ok(Some(word.to_owned()))
    }
    fn show(value: &Self::Value) -> String {
        value.clone().unwrap_or_else(|| "(unset)".to_owned())
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": "^\\S+$" })
    }
}

/// A list of words.
pub(crate) struct WordListKind;

impl SettingKind for WordListKind {
    type Value = Vec<String>;

    fn expected() -> String {
        "a list of strings".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<ValueFault>> {
        list(&Self::expected(), value, |text| Ok(text.to_owned()))
    }
    fn from_text(text: &str) -> Result<Self::Value, ValueFault> {
        split(text)
    }
    fn show(value: &Self::Value) -> String {
        show_words(value)
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": { "type": "string" } })
    }
}

/// A table of variables and values. In a variable it is written as words `NAME=VALUE`.
pub(crate) struct VariablesKind;

impl VariablesKind {
    fn check_name(name: &str) -> Result<(), ValueFault> {
        let mut characters = name.chars();
        let starts_well = characters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
        if starts_well && characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            Ok(())
        } else {
            Err(
                ValueFault::new(format!("`{name}` cannot be the name of a variable"))
                    .hint("use letters, digits and `_`, and do not start with a digit"),
            )
        }
    }
}

impl SettingKind for VariablesKind {
    type Value = BTreeMap<String, String>;

    fn expected() -> String {
        "a table of strings".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<ValueFault>> {
        let table = value
            .get_ref()
            .as_table()
            .ok_or_else(|| vec![ValueFault::wrong_type(&Self::expected(), value)])?;
        let mut variables = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, item) in table.iter() {
            if let Err(mut fault) = Self::check_name(name.get_ref()) {
                fault.span = Some(name.span());
                faults.push(fault);
            }
            match item.get_ref().as_str() {
                Some(text) => {
                    variables.insert(name.get_ref().to_string(), text.to_owned());
                }
                None => faults.push(
                    ValueFault::wrong_type("a string", item)
                        .hint("variables are text: put the value in quotes"),
                ),
            }
        }
        if faults.is_empty() {
            Ok(variables)
        } else {
            Err(faults)
        }
    }
    fn from_text(text: &str) -> Result<Self::Value, ValueFault> {
        split(text)?
            .into_iter()
            .map(|word| {
                let (name, value) = word.split_once('=').ok_or_else(|| {
                    ValueFault::new(format!("`{word}` sets no variable")).hint("write `NAME=VALUE`")
                })?;
                Self::check_name(name)?;
                Ok((name.to_owned(), value.to_owned()))
            })
            .collect()
    }
    fn show(value: &Self::Value) -> String {
        let words: Vec<String> = value
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        show_words(&words)
    }
    fn schema() -> serde_json::Value {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
            "additionalProperties": { "type": "string" }
        })
    }
}
