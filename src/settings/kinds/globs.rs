//! Settings that are lists of globs, over names or over paths. Invalid globs are faults.

use std::marker::PhantomData;

use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use crate::base::pattern::Pattern;
use crate::settings::kinds::kind::{SettingKind, ValueFault, list, non_empty, show_words, split};

/// The syntax of a kind of globs.
pub(crate) trait GlobSyntax {
    /// Checks one glob.
    fn element(text: &str) -> Result<String, ValueFault>;
    /// The JSON Schema of one glob.
    fn schema() -> serde_json::Value;
}

/// A list of globs with the syntax `G`.
pub(crate) struct GlobListOf<G>(PhantomData<G>);

/// A list of globs over names.
pub(crate) type GlobListKind = GlobListOf<NameGlobs>;

/// A list of globs over absolute paths; `*` stops at a `/`, `**` does not.
pub(crate) type PathGlobListKind = GlobListOf<PathGlobs>;

pub(crate) struct NameGlobs;

impl GlobSyntax for NameGlobs {
    fn element(text: &str) -> Result<String, ValueFault> {
        match Pattern::new(non_empty(text)?) {
            Ok(_) => Ok(text.to_owned()),
            Err(why) => Err(ValueFault::new(format!("`{text}` is not a glob: {why}"))),
        }
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

pub(crate) struct PathGlobs;

impl GlobSyntax for PathGlobs {
    fn element(text: &str) -> Result<String, ValueFault> {
        if !text.starts_with(['/', '*']) {
            return Err(ValueFault::new(format!("`{text}` matches no path"))
                .hint("paths start with `/`: write `/opt/firmware/**`, or `**/name`"));
        }
        globset::Glob::new(text)
            .map(|_| text.to_owned())
            .map_err(|error| ValueFault::new(format!("`{text}` is not a glob: {}", error.kind())))
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": "^[/*]" })
    }
}

impl<G: GlobSyntax> SettingKind for GlobListOf<G> {
    type Value = Vec<String>;

    fn expected() -> String {
        "a list of globs as strings".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<ValueFault>> {
        list(&Self::expected(), value, G::element)
    }
    fn from_text(text: &str) -> Result<Self::Value, ValueFault> {
        split(text)?.iter().map(|word| G::element(word)).collect()
    }
    fn show(value: &Self::Value) -> String {
        show_words(value)
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": G::schema() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_globs_are_refused() {
        assert_eq!(
            GlobListKind::from_text("'a b' *.bin").unwrap(),
            ["a b", "*.bin"]
        );
        assert!(GlobListKind::from_text("[a").is_err());
        assert!(GlobListKind::from_text("''").is_err());
    }
}
