//! The trait of a setting's kind, and helpers that several kinds share.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use crate::settings::choices::StoreWord;

/// A fault of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ValueFault {
    /// The span in the file, if it is narrower than the whole value.
    pub(crate) span: Option<Range<usize>>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl ValueFault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            span: None,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the span, unless it has one.
    pub(super) fn within(mut self, value: &Spanned<DeValue<'_>>) -> Self {
        self.span.get_or_insert(value.span());
        self
    }

    pub(super) fn wrong_type(expected: &str, value: &Spanned<DeValue<'_>>) -> Self {
        Self::new(format!(
            "expected {expected}, found {}",
            toml_type(value.get_ref())
        ))
        .within(value)
    }
}

/// The base of relative paths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathBase<'a> {
    pub(crate) dir: &'a Path,
    /// The directory that a leading `~/` stands for.
    pub(crate) home: Option<&'a Path>,
}

impl PathBase<'_> {
    pub(super) fn absolute(self, path: &Path) -> PathBuf {
        let joined = match (path.strip_prefix("~"), self.home) {
            (Ok(below), Some(home)) => home.join(below),
            _ => self.dir.join(path),
        };
        // `components` removes `./` and doubled slashes. `..` has to stay: after a symbolic link it
        // is not the directory that the text suggests.
        joined.components().collect()
    }
}

/// A kind of value.
pub(crate) trait SettingKind {
    type Value: Clone + PartialEq;

    /// The expected value, for messages: `a path as a string`.
    fn expected() -> String;
    /// Reads a value of a file. A list can have several faults.
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<ValueFault>>;
    /// Reads the value of an environment variable.
    fn from_text(text: &str) -> Result<Self::Value, ValueFault>;
    /// [`SettingKind::from_toml`] for a value that may name one of these stores.
    fn toml_among(
        value: &Spanned<DeValue<'_>>,
        _stores: &[StoreWord],
    ) -> Result<Self::Value, Vec<ValueFault>> {
        Self::from_toml(value)
    }
    /// [`SettingKind::from_text`] for a value that may name one of these stores.
    fn text_among(text: &str, _stores: &[StoreWord]) -> Result<Self::Value, ValueFault> {
        Self::from_text(text)
    }
    /// Makes relative paths absolute.
    fn anchor(value: Self::Value, _base: PathBase<'_>) -> Self::Value {
        value
    }
    /// The value as text on one line.
    fn show(value: &Self::Value) -> String;
    /// The JSON Schema of a value.
    fn schema() -> serde_json::Value;
    /// [`SettingKind::schema`] for a value that may name one of these stores.
    fn schema_among(_stores: &[StoreWord]) -> serde_json::Value {
        Self::schema()
    }
}

/// Reads a string with `from_text`.
pub(super) fn string<K: SettingKind>(
    value: &Spanned<DeValue<'_>>,
) -> Result<K::Value, Vec<ValueFault>> {
    let text = value
        .get_ref()
        .as_str()
        .ok_or_else(|| vec![ValueFault::wrong_type(&K::expected(), value)])?;
    K::from_text(text).map_err(|fault| vec![fault.within(value)])
}

/// Reads a list of strings, each with `element`; returns the faults of all elements.
pub(super) fn list<T>(
    expected: &str,
    value: &Spanned<DeValue<'_>>,
    element: impl Fn(&str) -> Result<T, ValueFault>,
) -> Result<Vec<T>, Vec<ValueFault>> {
    let elements = value
        .get_ref()
        .as_array()
        .ok_or_else(|| vec![ValueFault::wrong_type(expected, value)])?;
    let mut values = Vec::new();
    let mut faults = Vec::new();
    for item in elements {
        match item.get_ref().as_str() {
            None => faults.push(ValueFault::wrong_type("a string", item)),
            Some(text) => match element(text) {
                Ok(value) => values.push(value),
                Err(fault) => faults.push(fault.within(item)),
            },
        }
    }
    if faults.is_empty() {
        Ok(values)
    } else {
        Err(faults)
    }
}

/// Splits a variable into words as a shell does: at white space, with quotes and backslashes.
pub(super) fn split(text: &str) -> Result<Vec<String>, ValueFault> {
    shlex::split(text).ok_or_else(|| {
        ValueFault::new("a quote is not closed")
            .hint("words are split as in a shell: at white space, unless it is quoted")
    })
}

/// Words as text on one line, quoted so that [`split`] returns them again.
pub(super) fn show_words(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| format!("{words:?}"))
}

pub(super) fn non_empty(text: &str) -> Result<&str, ValueFault> {
    if text.is_empty() {
        Err(ValueFault::new("must not be empty"))
    } else {
        Ok(text)
    }
}

fn toml_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a floating-point number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
