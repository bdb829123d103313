//! The JSON Schema of the settings.

use crate::settings::choices::StoreWord;
use crate::settings::table::SETTINGS;

/// The JSON Schema of the user's file, which is also that of `[settings]` in variants.toml. `stores` are the
/// stores that `store` can name.
#[must_use]
pub fn json_schema(stores: &[StoreWord]) -> serde_json::Value {
    let mut all = table_schema();
    for setting in SETTINGS {
        let mut schema = (setting.schema)(stores);
        schema["description"] = setting.doc.trim().into();
        match setting.key.split_once('.') {
            None => all["properties"][setting.key] = schema,
            Some((table, key)) => {
                let inner = &mut all["properties"][table];
                if inner.is_null() {
                    *inner = table_schema();
                    inner["description"] = format!("The settings `{table}.…`.").into();
                }
                inner["properties"][key] = schema;
            }
        }
    }
    all
}

fn table_schema() -> serde_json::Value {
    serde_json::json!({"type": "object", "additionalProperties": false, "properties": {}})
}
