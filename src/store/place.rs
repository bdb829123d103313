//! The store of a journal entry: the name of its backend, and fields by which the backend opens it again. Pure.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A store in the journal, as JSON: `{"kind": "local", "dir": "/…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorePlace {
    /// The name of the backend.
    pub kind: String,
    /// The fields of the backend.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl StorePlace {
    /// The place of a store with these paths. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn new(kind: &str, paths: &[(&str, &Path)]) -> StorePlace {
        let field = |(name, path): &(&str, &Path)| {
            let text = path.to_string_lossy().into_owned();
            ((*name).to_owned(), Value::String(text))
        };
        StorePlace {
            kind: kind.to_owned(),
            fields: paths.iter().map(field).collect(),
        }
    }

    /// The path in a field; `None` where the field is missing.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.fields.get(name)?.as_str().map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_keeps_its_format() {
        let nix = r#"{"kind":"nix","program":"/bin/nix-store","state_dir":"/v","store_dir":"/s"}"#;
        let place: StorePlace = serde_json::from_str(nix).unwrap();
        assert_eq!(place.kind, "nix");
        assert_eq!(place.path("program"), Some("/bin/nix-store".into()));
        assert_eq!(place.path("dir"), None);
        assert_eq!(serde_json::to_string(&place).unwrap(), nix);
    }
}
