//! The kinds of values that a setting can have: how each is read, anchored, shown and described.
//!
//! Knows nothing of single settings, layers or files.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use crate::model::suggest;

mod age;
mod globs;
mod jobs;
mod places;

pub use age::Age;
pub(crate) use age::MaxAge;
pub(crate) use globs::{Globs, PathGlobs};
pub(crate) use jobs::Parallel;
pub(crate) use places::Places;

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Where in the file, where that is known.
    pub(crate) span: Option<Range<usize>>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    fn new(message: impl Into<String>) -> Self {
        Self {
            span: None,
            message: message.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn within(mut self, value: &Spanned<DeValue<'_>>) -> Self {
        self.span.get_or_insert(value.span());
        self
    }

    fn wrong_type(expected: &str, value: &Spanned<DeValue<'_>>) -> Self {
        Self::new(format!(
            "expected {expected}, found {}",
            toml_type(value.get_ref())
        ))
        .within(value)
    }
}

/// What a relative path is relative to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base<'a> {
    pub(crate) dir: &'a Path,
    /// What a leading `~/` means.
    pub(crate) home: Option<&'a Path>,
}

impl Base<'_> {
    fn absolute(self, path: &Path) -> PathBuf {
        let joined = match (path.strip_prefix("~"), self.home) {
            (Ok(below), Some(home)) => home.join(below),
            _ => self.dir.join(path),
        };
        // Takes `./` and doubled slashes out; `..` stays, because of symlinks.
        joined.components().collect()
    }
}

/// A kind of value.
pub(crate) trait Kind {
    type Value: Clone + PartialEq;

    /// What messages say was expected.
    fn expected() -> String;
    /// A value of a file. More than one thing can be wrong with a list.
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<Wrong>>;
    /// A value of an environment variable.
    fn from_text(text: &str) -> Result<Self::Value, Wrong>;
    /// Makes relative paths absolute.
    fn anchor(value: Self::Value, _base: Base<'_>) -> Self::Value {
        value
    }
    /// For people, on one line.
    fn show(value: &Self::Value) -> String;
    /// As a JSON Schema.
    fn schema() -> serde_json::Value;
}

/// Reads a string and hands it to `from_text`.
fn string<K: Kind>(value: &Spanned<DeValue<'_>>) -> Result<K::Value, Vec<Wrong>> {
    let text = value
        .get_ref()
        .as_str()
        .ok_or_else(|| vec![Wrong::wrong_type(&K::expected(), value)])?;
    K::from_text(text).map_err(|wrong| vec![wrong.within(value)])
}

/// Reads an array, each element by `element`; all faults are collected.
fn array<T>(
    expected: &str,
    value: &Spanned<DeValue<'_>>,
    element: impl Fn(&str) -> Result<T, Wrong>,
) -> Result<Vec<T>, Vec<Wrong>> {
    let elements = value
        .get_ref()
        .as_array()
        .ok_or_else(|| vec![Wrong::wrong_type(expected, value)])?;
    let mut taken = Vec::new();
    let mut wrongs = Vec::new();
    for item in elements {
        match item.get_ref().as_str() {
            None => wrongs.push(Wrong::wrong_type("a string", item)),
            Some(text) => match element(text) {
                Ok(value) => taken.push(value),
                Err(wrong) => wrongs.push(wrong.within(item)),
            },
        }
    }
    if wrongs.is_empty() {
        Ok(taken)
    } else {
        Err(wrongs)
    }
}

/// Splits as a shell would: at white space, with quotes and backslashes.
fn words(text: &str) -> Result<Vec<String>, Wrong> {
    shlex::split(text).ok_or_else(|| {
        Wrong::new("a quote is not closed")
            .hint("words are split as in a shell: at white space, quotes keep it")
    })
}

fn show_words(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| format!("{words:?}"))
}

/// A path of a file or directory.
pub(crate) struct Place;

impl Kind for Place {
    type Value = PathBuf;

    fn expected() -> String {
        "a path as a string".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<PathBuf, Vec<Wrong>> {
        string::<Self>(value)
    }
    fn from_text(text: &str) -> Result<PathBuf, Wrong> {
        non_empty(text).map(PathBuf::from)
    }
    fn anchor(value: PathBuf, base: Base<'_>) -> PathBuf {
        base.absolute(&value)
    }
    fn show(value: &PathBuf) -> String {
        value.display().to_string()
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A program: a name that is looked up in PATH, or a path.
pub(crate) struct Program;

impl Kind for Program {
    type Value = PathBuf;

    fn expected() -> String {
        "a program's name or path as a string".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<PathBuf, Vec<Wrong>> {
        string::<Self>(value)
    }
    fn from_text(text: &str) -> Result<PathBuf, Wrong> {
        non_empty(text).map(PathBuf::from)
    }
    fn anchor(value: PathBuf, base: Base<'_>) -> PathBuf {
        if value.components().count() == 1 && !value.starts_with("..") && !value.starts_with("~") {
            value
        } else {
            base.absolute(&value)
        }
    }
    fn show(value: &PathBuf) -> String {
        value.display().to_string()
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A word that may be unset.
pub(crate) struct Word;

impl Kind for Word {
    type Value = Option<String>;

    fn expected() -> String {
        "a string".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<Wrong>> {
        string::<Self>(value)
    }
    fn from_text(text: &str) -> Result<Self::Value, Wrong> {
        let word = non_empty(text)?;
        if word.contains(char::is_whitespace) {
            return Err(Wrong::new(format!("`{word}` contains white space")));
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

/// A list of words. In a variable they are split as in a shell.
pub(crate) struct Words;

impl Kind for Words {
    type Value = Vec<String>;

    fn expected() -> String {
        "a list of strings".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<Wrong>> {
        array(&Self::expected(), value, |text| Ok(text.to_owned()))
    }
    fn from_text(text: &str) -> Result<Self::Value, Wrong> {
        words(text)
    }
    fn show(value: &Self::Value) -> String {
        show_words(value)
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": { "type": "string" } })
    }
}

/// A list of mounts, `HOST:CONTAINER[:OPTIONS]`. A relative host path is anchored, because the engines
/// take one for the name of a volume.
pub(crate) struct Mounts;

impl Mounts {
    fn element(text: &str) -> Result<String, Wrong> {
        let usage = "write `HOST:CONTAINER`, or `HOST:CONTAINER:ro`";
        if text.contains(char::is_whitespace) {
            return Err(Wrong::new(format!(
                "the mount `{text}` contains white space, at which kas-container would split it"
            )));
        }
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            [host, container] | [host, container, _]
                if !host.is_empty() && container.starts_with('/') =>
            {
                Ok(text.to_owned())
            }
            [_, container] | [_, container, _] if !container.starts_with('/') => Err(Wrong::new(
                format!("the mount `{text}` has no absolute path in the container"),
            )
            .hint(usage)),
            _ => Err(Wrong::new(format!("`{text}` is not a mount")).hint(usage)),
        }
    }
}

impl Kind for Mounts {
    type Value = Vec<String>;

    fn expected() -> String {
        "a list of mounts as strings".to_owned()
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
    fn anchor(value: Self::Value, base: Base<'_>) -> Self::Value {
        let anchored = |mount: String| match mount.split_once(':') {
            Some((host, rest)) => {
                format!("{}:{rest}", base.absolute(Path::new(host)).display())
            }
            None => mount,
        };
        value.into_iter().map(anchored).collect()
    }
    fn show(value: &Self::Value) -> String {
        show_words(value)
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": { "type": "string", "pattern": "^[^:\\s]+:/[^:\\s]*(:[^:\\s]+)?$" } })
    }
}

/// Variables and their values. In a variable they are words, `NAME=VALUE`, split as in a shell.
pub(crate) struct Variables;

impl Variables {
    fn check_name(name: &str) -> Result<(), Wrong> {
        let mut characters = name.chars();
        let starts_well = characters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
        if starts_well && characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            Ok(())
        } else {
            Err(
                Wrong::new(format!("`{name}` cannot be the name of a variable"))
                    .hint("letters, digits and `_`, and no digit first"),
            )
        }
    }
}

impl Kind for Variables {
    type Value = BTreeMap<String, String>;

    fn expected() -> String {
        "a table of strings".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<Wrong>> {
        let table = value
            .get_ref()
            .as_table()
            .ok_or_else(|| vec![Wrong::wrong_type(&Self::expected(), value)])?;
        let mut variables = BTreeMap::new();
        let mut wrongs = Vec::new();
        for (name, item) in table.iter() {
            if let Err(mut wrong) = Self::check_name(name.get_ref()) {
                wrong.span = Some(name.span());
                wrongs.push(wrong);
            }
            match item.get_ref().as_str() {
                Some(text) => {
                    variables.insert(name.get_ref().to_string(), text.to_owned());
                }
                None => wrongs.push(
                    Wrong::wrong_type("a string", item)
                        .hint("variables are text: put the value into quotes"),
                ),
            }
        }
        if wrongs.is_empty() {
            Ok(variables)
        } else {
            Err(wrongs)
        }
    }
    fn from_text(text: &str) -> Result<Self::Value, Wrong> {
        words(text)?
            .into_iter()
            .map(|word| {
                let (name, value) = word.split_once('=').ok_or_else(|| {
                    Wrong::new(format!("`{word}` sets no variable")).hint("write `NAME=VALUE`")
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

/// A whole number between two bounds, both included.
pub(crate) struct Number<T, const MIN: u64, const MAX: u64>(PhantomData<T>);

impl<T, const MIN: u64, const MAX: u64> Kind for Number<T, MIN, MAX>
where
    T: Clone + PartialEq + Display + TryFrom<u64>,
{
    type Value = T;

    fn expected() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<T, Vec<Wrong>> {
        let integer = value
            .get_ref()
            .as_integer()
            .ok_or_else(|| vec![Wrong::wrong_type(&Self::expected(), value)])?;
        u64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                vec![
                    Wrong::new(format!("expected {}, found {integer}", Self::expected()))
                        .within(value),
                ]
            })
    }
    fn from_text(text: &str) -> Result<T, Wrong> {
        text.trim()
            .parse::<u64>()
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| Wrong::new(format!("expected {}, found `{text}`", Self::expected())))
    }
    fn show(value: &T) -> String {
        value.to_string()
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// One of a few words.
pub(crate) struct Choice<E>(PhantomData<E>);

impl<E: ValueEnum> Choice<E> {
    fn names() -> Vec<String> {
        E::value_variants()
            .iter()
            .filter_map(E::to_possible_value)
            .map(|value| value.get_name().to_owned())
            .collect()
    }
}

impl<E: ValueEnum + PartialEq> Kind for Choice<E> {
    type Value = E;

    fn expected() -> String {
        let names: Vec<String> = Self::names()
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        format!("one of {}", names.join(", "))
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<E, Vec<Wrong>> {
        string::<Self>(value)
    }
    fn from_text(text: &str) -> Result<E, Wrong> {
        let known = E::value_variants().iter().find(|value| {
            value
                .to_possible_value()
                .is_some_and(|possible| possible.get_name() == text)
        });
        known.cloned().ok_or_else(|| {
            let wrong = Wrong::new(format!("expected {}, found `{text}`", Self::expected()));
            let names = Self::names();
            match suggest::nearest(text, names.iter().map(String::as_str)) {
                Some(name) => wrong.hint(format!("did you mean `{name}`?")),
                None => wrong,
            }
        })
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

/// Several of a few words.
pub(crate) struct Choices<E>(PhantomData<E>);

impl<E: ValueEnum + PartialEq> Kind for Choices<E> {
    type Value = Vec<E>;

    fn expected() -> String {
        format!("a list, each {}", Choice::<E>::expected())
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Vec<E>, Vec<Wrong>> {
        array(&Self::expected(), value, Choice::<E>::from_text)
    }
    fn from_text(text: &str) -> Result<Vec<E>, Wrong> {
        words(text)?
            .iter()
            .map(|word| Choice::<E>::from_text(word))
            .collect()
    }
    fn show(value: &Vec<E>) -> String {
        show_words(&value.iter().map(Choice::<E>::show).collect::<Vec<_>>())
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": Choice::<E>::schema() })
    }
}

fn non_empty(text: &str) -> Result<&str, Wrong> {
    if text.is_empty() {
        Err(Wrong::new("must not be empty"))
    } else {
        Ok(text)
    }
}

fn toml_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a floating-point number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
