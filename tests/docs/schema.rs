//! The committed JSON Schema is that of the code, and it takes the files that the code takes.

use std::fs;

use isar_build_all::matrix::schema;
use isar_build_all::settings;
use isar_build_all::store::BACKENDS;
use isar_build_all::store::choice::words;
use serde_json::Value;

fn schema() -> Value {
    schema::schema(&settings::json_schema(&words(BACKENDS)))
}

#[test]
fn the_committed_schema_is_current() {
    let path = support::root().join("schema/variants.schema.json");
    let current = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "schema/variants.schema.json is not current; update it with\n    \
         cargo run -- schema > schema/variants.schema.json"
    );
}

/// What the schema says of a TOML value; a small reading of the keywords that we emit.
fn accepts(schema: &Value, value: &toml::Value) -> bool {
    if let Some(any) = schema["anyOf"].as_array() {
        return any.iter().any(|schema| accepts(schema, value));
    }
    let of_type = match (schema["type"].as_str(), value) {
        (Some("string"), toml::Value::String(_)) | (Some("boolean"), toml::Value::Boolean(_)) => {
            true
        }
        (Some("integer"), toml::Value::Integer(number)) => schema["minimum"]
            .as_i64()
            .is_none_or(|least| *number >= least),
        (Some("array"), toml::Value::Array(values)) => {
            values.iter().all(|value| accepts(&schema["items"], value))
        }
        (Some("object"), toml::Value::Table(table)) => {
            let required = schema["required"].as_array().into_iter().flatten();
            let present = |key: &Value| table.contains_key(key.as_str().unwrap());
            required.clone().all(present)
                && table.iter().all(|(key, value)| {
                    let property = &schema["properties"][key];
                    let rest = &schema["additionalProperties"];
                    match (property.is_null(), rest) {
                        (false, _) => accepts(property, value),
                        (true, Value::Bool(allowed)) => *allowed,
                        (true, rest) => accepts(rest, value),
                    }
                })
        }
        _ => false,
    };
    let plain = serde_json::to_value(value).unwrap();
    of_type
        && (schema["const"].is_null() || schema["const"] == plain)
        && schema["enum"]
            .as_array()
            .is_none_or(|words| words.contains(&plain))
}

#[test]
fn the_schema_takes_the_example_and_refuses_a_wrong_key() {
    let text = fs::read_to_string(support::root().join("examples/n3x/variants.toml")).unwrap();
    let accepted = |text: &str| accepts(&schema(), &toml::from_str(text).unwrap());
    assert!(accepted(&text));
    assert!(!accepted(&text.replace("[release]", "[realese]")));
    assert!(!accepted(&text.replace("schema = 1", "schema = 2")));
    assert!(!accepted(&text.replace("arch = \"amd64\"", "arch = 64")));
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn undescribed(value: &Value, path: &str, out: &mut Vec<String>) {
        let Value::Object(map) = value else { return };
        for (key, property) in map
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let path = format!("{path}.{key}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                out.push(path.clone());
            }
            undescribed(property, &path, out);
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = map.get(key) {
                undescribed(inner, path, out);
            }
        }
        for inner in map
            .get("anyOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            undescribed(inner, path, out);
        }
    }
    let mut out = Vec::new();
    undescribed(&schema(), "", &mut out);
    assert!(out.is_empty(), "{out:?}");
}
