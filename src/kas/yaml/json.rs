//! `.json` files: Python's `json`, which takes the last of equal keys. Spans are of the whole text, as JSON
//! values carry none.

use std::sync::Arc;

use serde_json::Value;

use crate::base::fault::Fault;
use crate::kas::yaml::{YamlEntry, YamlNode, YamlValue};

pub(super) fn parse(text: &str) -> Result<YamlNode, Fault> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let at = offset(text, error.line(), error.column());
        Fault::at(at..at, "not valid JSON", error.to_string())
    })?;
    Ok(node(&value, text.len()))
}

fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    (start + column.saturating_sub(1)).min(text.len())
}

fn node(value: &Value, length: usize) -> YamlNode {
    let value = match value {
        Value::Null => YamlValue::Null,
        Value::Bool(truth) => YamlValue::Bool(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(number) => YamlValue::Int(number),
            None => YamlValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => YamlValue::Text(text.clone()),
        Value::Array(items) => YamlValue::List(
            items
                .iter()
                .map(|item| Arc::new(node(item, length)))
                .collect(),
        ),
        Value::Object(entries) => YamlValue::Table(
            entries
                .iter()
                .map(|(key, value)| YamlEntry {
                    key: key.clone(),
                    key_span: 0..length,
                    node: Arc::new(node(value, length)),
                })
                .collect(),
        ),
    };
    YamlNode {
        span: 0..length,
        value,
    }
}
