//! kas's own JSON schema for kas files, and its complaints as faults with a place.
//!
//! The schema comes from the kas that builds, so a key that this kas knows is never refused. kas validates each
//! file by itself, before it merges them (`ConfigFile.load` in kas 5.5).

use std::ops::Range;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;
use thiserror::Error;

use crate::base::fault::Fault;
use crate::base::suggest;
use crate::kas::yaml::{YamlEntry, YamlNode, YamlValue};

/// The schema of one version of kas.
#[derive(Debug)]
pub struct KasSchema {
    /// The version of kas, as `5.5`.
    pub kas_version: String,
    schema: Value,
    validator: Validator,
}

/// A text that is not a JSON schema.
#[derive(Debug, Error)]
#[error("kas's schema cannot be used: {0}")]
pub struct SchemaError(String);

impl KasSchema {
    /// Reads kas's `schema-kas.json`.
    ///
    /// # Errors
    /// When it is not JSON, or not a JSON schema.
    pub fn parse(kas_version: &str, text: &str) -> Result<KasSchema, SchemaError> {
        let unusable = |error: &dyn std::fmt::Display| SchemaError(error.to_string());
        let schema: Value = serde_json::from_str(text).map_err(|error| unusable(&error))?;
        let validator = jsonschema::validator_for(&schema).map_err(|error| unusable(&error))?;
        Ok(KasSchema {
            kas_version: kas_version.to_owned(),
            schema,
            validator,
        })
    }

    /// The violations of one file, in the order of the text. No message has a value of the file in it: values
    /// may be secrets.
    #[must_use]
    pub fn faults(&self, file: &YamlNode) -> Vec<Fault> {
        let json = file.to_json();
        let mut faults: Vec<Fault> = Vec::new();
        for error in self.validator.iter_errors(&json) {
            self.explain(file, &error, &mut faults);
        }
        faults.extend(self.unsupported_version(file));
        faults.sort_by_key(|fault| fault.span.as_ref().map_or(0, |span| span.start));
        faults.dedup();
        faults
    }

    /// kas accepts the words `"0.10"` in its schema and then fails to read them as a number.
    fn unsupported_version(&self, file: &YamlNode) -> Option<Fault> {
        let version = file.at(["header", "version"])?;
        (version.text() == Some("0.10")).then(|| {
            let message = format!("kas {} fails on version `0.10`", self.kas_version);
            Fault::at(version.span.clone(), message, "not a whole number")
                .hint("write `version: 1`")
        })
    }

    fn explain(&self, file: &YamlNode, error: &ValidationError<'_>, faults: &mut Vec<Fault>) {
        let path = pointer(&error.instance_path().to_string());
        let place = KeyPlace::find(file, &path);
        let subject = match place.name.is_empty() {
            true => "the file".to_owned(),
            false => format!("`{}`", place.name),
        };
        let kas = &self.kas_version;
        match error.kind() {
            ValidationErrorKind::AnyOf { context }
            | ValidationErrorKind::OneOfNotValid { context }
                if path != ["header", "version"] =>
            {
                match meant(context, &path) {
                    Some(errors) => {
                        for error in errors {
                            self.explain(file, error, faults);
                        }
                    }
                    None => faults.push(place.fault(
                        format!("{subject} has a value that kas {kas} does not know here"),
                        "unknown value",
                    )),
                }
            }
            ValidationErrorKind::AnyOf { .. } => {
                faults.push(self.wrong_version(&place));
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = self.known_keys(error);
                for key in unexpected {
                    faults.push(unknown_key(kas, &place, key, &known));
                }
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                let fault = place.fault(format!("{subject} needs `{key}`"), "incomplete");
                faults.push(match place.name.as_str() {
                    "" => fault.hint(format!(
                        "kas reads files of version {} to {}",
                        self.versions().0,
                        self.versions().1
                    )),
                    _ => fault,
                });
            }
            ValidationErrorKind::Type { kind } => {
                let expected = expected(kind);
                let found = noun(&place.node.value);
                let fault = place.fault(
                    format!("{subject} is {found}; kas {kas} expects {expected}"),
                    format!("not {expected}"),
                );
                let is_plain = matches!(
                    place.node.value,
                    YamlValue::Int(_) | YamlValue::Float(_) | YamlValue::Bool(_)
                );
                faults.push(match is_plain && expected.contains("text") {
                    true => fault.hint("quote it"),
                    false => fault,
                });
            }
            ValidationErrorKind::Enum { options } => {
                let words: Vec<String> = options
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|option| option.as_str().map_or(option.to_string(), str::to_owned))
                    .collect();
                let hint = suggest::hint(
                    place.node.text().unwrap_or_default(),
                    "kas knows",
                    words.iter().map(String::as_str),
                );
                let message = format!("{subject} has a value that kas {kas} does not know");
                faults.push(place.fault(message, "unknown value").hint(hint));
            }
            _ => {
                let message = format!("{subject}: {}", error.masked_with("the value"));
                faults.push(place.fault(message, "refused by kas"));
            }
        }
    }

    /// The lowest and highest version of kas files that this kas reads.
    fn versions(&self) -> (i64, i64) {
        let of = |key: &str| {
            self.schema
                .pointer("/properties/header/properties/version/anyOf/1")
                .and_then(|version| version.get(key))
                .and_then(Value::as_i64)
        };
        (of("minimum").unwrap_or(1), of("maximum").unwrap_or(1))
    }

    fn wrong_version(&self, place: &KeyPlace<'_>) -> Fault {
        let (lowest, highest) = self.versions();
        let kas = &self.kas_version;
        match &place.node.value {
            YamlValue::Int(version) => place
                .fault(
                    format!("kas {kas} does not read files of version {version}"),
                    "unknown version",
                )
                .hint(format!("it reads versions {lowest} to {highest}")),
            other => place
                .fault(
                    format!("`header.version` is {}; kas expects a number", noun(other)),
                    "not a number",
                )
                .hint(format!("write `version: {highest}`, without quotes")),
        }
    }

    /// The keys that the schema has beside an unknown one.
    fn known_keys(&self, error: &ValidationError<'_>) -> Vec<String> {
        let path = error.schema_path().to_string();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.schema
            .pointer(&format!("{parent}/properties"))
            .and_then(Value::as_object)
            .map(|properties| properties.keys().cloned().collect())
            .unwrap_or_default()
    }
}

/// A value of a file: its node, its key's bytes in the text and its name in messages.
struct KeyPlace<'f> {
    node: &'f YamlNode,
    key_span: Option<Range<usize>>,
    name: String,
}

impl<'f> KeyPlace<'f> {
    /// The place at a path, or the innermost one on the way that is there.
    fn find(file: &'f YamlNode, path: &[String]) -> KeyPlace<'f> {
        let mut place = KeyPlace {
            node: file,
            key_span: None,
            name: path.join("."),
        };
        for step in path {
            match &place.node.value {
                YamlValue::List(items) => {
                    let item = step.parse().ok().and_then(|index: usize| items.get(index));
                    let Some(item) = item else { break };
                    place.node = item;
                    place.key_span = Some(item.span.clone());
                }
                _ => {
                    let Some(entry) = place.node.entry(step) else {
                        break;
                    };
                    place.key_span = Some(entry.key_span.clone());
                    place.node = &entry.node;
                }
            }
        }
        place
    }

    /// A fault at the key: the value may be a secret, and may be on many lines.
    fn fault(&self, message: impl Into<String>, label: impl Into<String>) -> Fault {
        match &self.key_span {
            Some(span) => Fault::at(span.clone(), message, label),
            None => Fault::nowhere(message),
        }
    }
}

fn unknown_key(kas: &str, place: &KeyPlace<'_>, key: &str, known: &[String]) -> Fault {
    let within = match place.name.is_empty() {
        true => "at the top of a file".to_owned(),
        false => format!("in `{}`", place.name),
    };
    let message = format!("kas {kas} does not know the key `{key}` {within}");
    let span = place
        .node
        .entry(key)
        .map(|entry: &YamlEntry| entry.key_span.clone());
    let fault = match span {
        Some(span) => Fault::at(span, message, "unknown key"),
        None => place.fault(message, "has an unknown key"),
    };
    match known.is_empty() {
        true => fault,
        false => fault.hint(suggest::hint(
            key,
            "it knows",
            known.iter().map(String::as_str),
        )),
    }
}

/// The errors of the alternative that a value was meant to be: the only one that does not fail on the value as a
/// whole.
fn meant<'e>(
    alternatives: &'e [Vec<ValidationError<'static>>],
    path: &[String],
) -> Option<&'e [ValidationError<'static>]> {
    let mut fitting = alternatives.iter().filter(|errors| {
        !errors.iter().any(|error| {
            let is_whole = pointer(&error.instance_path().to_string()) == path;
            is_whole
                && matches!(
                    error.kind(),
                    ValidationErrorKind::Type { .. }
                        | ValidationErrorKind::Constant { .. }
                        | ValidationErrorKind::Enum { .. }
                )
        })
    });
    match (fitting.next(), fitting.next()) {
        (Some(errors), None) => Some(errors),
        _ => None,
    }
}

/// The steps of a JSON pointer (RFC 6901).
fn pointer(text: &str) -> Vec<String> {
    text.split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect()
}

fn noun(value: &YamlValue) -> &'static str {
    match value {
        YamlValue::Null => "nothing",
        YamlValue::Bool(_) => "a truth value",
        YamlValue::Int(_) | YamlValue::Float(_) => "a number",
        YamlValue::Text(_) => "text",
        YamlValue::Opaque(_) => "a date or binary data",
        YamlValue::List(_) => "a list",
        YamlValue::Table(_) => "a mapping",
    }
}

fn expected(kind: &TypeKind) -> String {
    let noun = |name: &str| match name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "a mapping",
        "null" => "nothing",
        _ => "another type",
    };
    match kind {
        TypeKind::Single(one) => noun(&one.to_string()).to_owned(),
        TypeKind::Multiple(several) => {
            let names: Vec<String> = several.iter().map(|one| one.to_string()).collect();
            // `null` is an exception, and reads best at the end.
            let (nulls, values): (Vec<&str>, Vec<&str>) = names
                .iter()
                .map(|name| noun(name))
                .partition(|noun| *noun == "nothing");
            [values, nulls].concat().join(" or ")
        }
    }
}

#[cfg(test)]
mod tests;
