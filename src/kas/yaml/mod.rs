//! Reading kas files as kas does: a tree of values, each with its place in the text.
//!
//! kas loads YAML with PyYAML's safe loader, which is YAML 1.1, and JSON with Python's `json`. The grammar of
//! PyYAML is libyaml's, so a port of libyaml finds the tokens; [`compose`] builds the tree, [`scalar`] gives
//! plain words their types, [`json`] reads `.json` files. Differences from YAML 1.2 that matter in kas files:
//! `no` and `off` are false, `012` is ten, the last of equal keys counts, `<<` merges, and a quoted text may
//! continue at the column of its key.

mod compose;
mod json;
mod scalar;
mod tabs;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use crate::base::fault::Fault;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct YamlNode {
    /// The bytes of the text that it takes up; those of the alias's target where it came by an alias.
    pub span: Range<usize>,
    /// The value.
    pub value: YamlValue,
}

/// A value as Python sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum YamlValue {
    /// Nothing: `null`, `~`, or no text at all.
    Null,
    /// A truth value; in YAML 1.1 also `yes`, `no`, `on` and `off`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction, or one too large for [`YamlValue::Int`].
    Float(f64),
    /// Text.
    Text(String),
    /// A date or binary data, as written. JSON has no such value, and kas's schema admits none.
    Opaque(String),
    /// A sequence.
    List(Vec<Arc<YamlNode>>),
    /// A mapping, in the order in which its keys first occur; keys are unique.
    Table(Vec<YamlEntry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct YamlEntry {
    /// The key as JSON writes it: `1` for a number, `true` for a truth value.
    pub key: String,
    /// The key's bytes in the text.
    pub key_span: Range<usize>,
    /// Its value.
    pub node: Arc<YamlNode>,
}

impl YamlNode {
    /// The value under a key of a table; `None` for other values and missing keys.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<YamlNode>> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry under a key of a table.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&YamlEntry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a table; empty for other values.
    #[must_use]
    pub fn entries(&self) -> &[YamlEntry] {
        match &self.value {
            YamlValue::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; empty for other values.
    #[must_use]
    pub fn items(&self) -> &[Arc<YamlNode>] {
        match &self.value {
            YamlValue::List(items) => items,
            _ => &[],
        }
    }

    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            YamlValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.value == YamlValue::Null
    }

    /// The node at a path of keys and indices, as a schema names places.
    #[must_use]
    pub fn at<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&YamlNode> {
        path.into_iter()
            .try_fold(self, |node, step| match &node.value {
                YamlValue::List(items) => step
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(Arc::as_ref),
                _ => node.get(step).map(Arc::as_ref),
            })
    }

    /// The value as Python's `json.dump` writes it and a JSON reader reads it back.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.value {
            YamlValue::Null => Value::Null,
            YamlValue::Bool(truth) => Value::Bool(*truth),
            YamlValue::Int(number) => Value::from(*number),
            YamlValue::Float(number) => Value::from(*number),
            YamlValue::Text(text) | YamlValue::Opaque(text) => Value::String(text.clone()),
            YamlValue::List(items) => items.iter().map(|item| item.to_json()).collect(),
            YamlValue::Table(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.to_json()))
                    .collect(),
            ),
        }
    }
}

/// The format of a file, by its name, as kas tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KasFileFormat {
    /// `.yml` and `.yaml`.
    Yaml,
    /// `.json`.
    Json,
}

impl KasFileFormat {
    /// The format that kas assumes for a file; none where it refuses the name.
    #[must_use]
    pub fn of(name: &str) -> Option<KasFileFormat> {
        let (stem, extension) = name.rsplit('/').next()?.rsplit_once('.')?;
        match extension {
            // Python sees no extension where nothing but dots precedes it: `.yml` is a hidden file.
            _ if stem.chars().all(|c| c == '.') => None,
            "yml" | "yaml" => Some(KasFileFormat::Yaml),
            "json" => Some(KasFileFormat::Json),
            _ => None,
        }
    }
}

/// Reads a kas file's text.
///
/// # Errors
/// The first place at which kas would refuse the text.
pub fn load(text: &str, format: KasFileFormat) -> Result<Arc<YamlNode>, Fault> {
    match format {
        KasFileFormat::Yaml => compose::compose(text),
        KasFileFormat::Json => json::parse(text).map(Arc::new),
    }
}
