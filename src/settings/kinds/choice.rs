//! Settings that are one of a few words, or a list of them.

use std::marker::PhantomData;

use clap::ValueEnum;
use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use crate::base::suggest;
use crate::settings::kinds::kind::{SettingKind, ValueFault, list, show_words, split, string};

/// One of the words of `E`.
pub(crate) struct ChoiceKind<E>(PhantomData<E>);

impl<E: ValueEnum> ChoiceKind<E> {
    fn names() -> Vec<String> {
        E::value_variants()
            .iter()
            .filter_map(E::to_possible_value)
            .map(|value| value.get_name().to_owned())
            .collect()
    }
}

impl<E: ValueEnum + PartialEq> SettingKind for ChoiceKind<E> {
    type Value = E;

    fn expected() -> String {
        one_of(&Self::names())
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<E, Vec<ValueFault>> {
        string::<Self>(value)
    }
    fn from_text(text: &str) -> Result<E, ValueFault> {
        let known = E::value_variants().iter().find(|value| {
            value
                .to_possible_value()
                .is_some_and(|possible| possible.get_name() == text)
        });
        known.cloned().ok_or_else(|| unknown(text, &Self::names()))
    }
    fn show(value: &E) -> String {
        value
            .to_possible_value()
            .map(|possible| possible.get_name().to_owned())
            .unwrap_or_default()
    }
    fn schema() -> serde_json::Value {
        json!({ "enum": Self::names() })
    }
}

/// The words to choose from, as [`SettingKind::expected`] says them.
pub(super) fn one_of(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("one of {}", names.join(", "))
}

/// The fault of a text that is none of the words.
pub(super) fn unknown(text: &str, names: &[String]) -> ValueFault {
    let fault = ValueFault::new(format!("expected {}, found `{text}`", one_of(names)));
    match suggest::nearest(text, names.iter().map(String::as_str)) {
        Some(name) => fault.hint(format!("did you mean `{name}`?")),
        None => fault,
    }
}

/// A list of the words of `E`.
pub(crate) struct ChoiceListKind<E>(PhantomData<E>);

impl<E: ValueEnum + PartialEq> SettingKind for ChoiceListKind<E> {
    type Value = Vec<E>;

    fn expected() -> String {
        format!("a list, each {}", ChoiceKind::<E>::expected())
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Vec<E>, Vec<ValueFault>> {
        list(&Self::expected(), value, ChoiceKind::<E>::from_text)
    }
    fn from_text(text: &str) -> Result<Vec<E>, ValueFault> {
        split(text)?
            .iter()
            .map(|word| ChoiceKind::<E>::from_text(word))
            .collect()
    }
    fn show(value: &Vec<E>) -> String {
        show_words(&value.iter().map(ChoiceKind::<E>::show).collect::<Vec<_>>())
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": ChoiceKind::<E>::schema() })
    }
}
