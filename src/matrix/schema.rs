//! The JSON Schema of variants.toml, made from [`shape`](crate::matrix::shape).
//!
//! Draft 7, because taplo and the TOML extensions of editors read that version.

use serde_json::{Map, Value, json};

use crate::matrix::shape::{ROOT, TableShape, Type};

/// The schema, as `isar-build-all schema` prints it. `settings` is the schema of `[settings]`, from
/// `settings::json_schema`.
#[must_use]
pub fn schema(settings: &Value) -> Value {
    let mut document = Map::new();
    document.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    document.insert("title".to_owned(), json!("variants.toml of isar-build-all"));
    document.insert(
        "description".to_owned(),
        json!("An ISAR image matrix: axes, machines, names, kas files and variants."),
    );
    document.extend(SchemaWriter { settings }.table(&ROOT));
    Value::Object(document)
}

struct SchemaWriter<'s> {
    settings: &'s Value,
}

impl SchemaWriter<'_> {
    fn table(&self, shape: &TableShape) -> Map<String, Value> {
        let mut properties = Map::new();
        for field in shape.fields {
            let mut property = self.of(&field.ty);
            property.insert("description".to_owned(), json!(field.doc));
            properties.insert(field.name.to_owned(), Value::Object(property));
        }
        let required: Vec<&str> = shape
            .fields
            .iter()
            .filter(|field| field.required)
            .map(|field| field.name)
            .collect();
        let mut object = Map::new();
        object.insert("type".to_owned(), json!("object"));
        object.insert("properties".to_owned(), Value::Object(properties));
        if !required.is_empty() {
            object.insert("required".to_owned(), json!(required));
        }
        let rest = shape
            .rest
            .map_or(json!(false), |rest| Value::Object(self.of(rest)));
        object.insert("additionalProperties".to_owned(), rest);
        object
    }

    fn of(&self, ty: &Type) -> Map<String, Value> {
        let value = match ty {
            Type::Text => json!({ "type": "string" }),
            Type::Exactly(number) => json!({ "type": "integer", "const": number }),
            Type::Boolean => json!({ "type": "boolean" }),
            Type::False => json!({ "type": "boolean", "const": false }),
            Type::List(element) => json!({ "type": "array", "items": self.of(element) }),
            Type::Table(shape) => return self.table(shape),
            Type::Map(element) => {
                json!({ "type": "object", "additionalProperties": self.of(element) })
            }
            Type::Settings => self.settings.clone(),
            Type::Either(types) => {
                let all: Vec<_> = types.iter().map(|ty| self.of(ty)).collect();
                json!({ "anyOf": all })
            }
        };
        match value {
            Value::Object(object) => object,
            _ => Map::new(),
        }
    }
}
