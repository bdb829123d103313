//! Settings that are paths, programs or mounts. Reads no file.

use std::path::{Path, PathBuf};

use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use crate::base::kas_word::check_unsplit;
use crate::settings::kinds::kind::{
    PathBase, SettingKind, ValueFault, list, non_empty, show_words, split, string,
};

/// A path of a file or directory.
pub(crate) struct PathKind;

impl SettingKind for PathKind {
    type Value = PathBuf;

    fn expected() -> String {
        "a path as a string".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<PathBuf, Vec<ValueFault>> {
        string::<Self>(value)
    }
    fn from_text(text: &str) -> Result<PathBuf, ValueFault> {
        non_empty(text).map(PathBuf::from)
    }
    fn anchor(value: PathBuf, base: PathBase<'_>) -> PathBuf {
        base.absolute(&value)
    }
    fn show(value: &PathBuf) -> String {
        value.display().to_string()
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A list of paths of files and directories.
pub(crate) struct PathListKind;

impl SettingKind for PathListKind {
    type Value = Vec<PathBuf>;

    fn expected() -> String {
        "a list of paths as strings".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<ValueFault>> {
        list(&Self::expected(), value, |text| {
            non_empty(text).map(PathBuf::from)
        })
    }
    fn from_text(text: &str) -> Result<Self::Value, ValueFault> {
        Ok(split(text)?.into_iter().map(PathBuf::from).collect())
    }
    fn anchor(value: Self::Value, base: PathBase<'_>) -> Self::Value {
        value.iter().map(|path| base.absolute(path)).collect()
    }
    fn show(value: &Self::Value) -> String {
        let shown: Vec<String> = value
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        show_words(&shown)
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": { "type": "string", "minLength": 1 } })
    }
}

/// A program: a path, or a name that is looked up in `PATH`.
pub(crate) struct ProgramKind;

impl SettingKind for ProgramKind {
    type Value = PathBuf;

    fn expected() -> String {
        "a program's name or path as a string".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<PathBuf, Vec<ValueFault>> {
        string::<Self>(value)
    }
    fn from_text(text: &str) -> Result<PathBuf, ValueFault> {
        non_empty(text).map(PathBuf::from)
    }
    fn anchor(value: PathBuf, base: PathBase<'_>) -> PathBuf {
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

/// A list of mounts, `HOST:CONTAINER[:OPTIONS]`.
///
/// A relative host path is made absolute, because container engines read one as the name of a volume.
pub(crate) struct MountListKind;

impl MountListKind {
    fn element(text: &str) -> Result<String, ValueFault> {
        let usage = "write `HOST:CONTAINER`, or `HOST:CONTAINER:ro`";
        if check_unsplit(text).is_err() {
            return Err(ValueFault::new(format!(
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
            [_, container] | [_, container, _] if !container.starts_with('/') => {
                Err(ValueFault::new(format!(
                    "the mount `{text}` has no absolute path in the container"
                ))
                .hint(usage))
            }
            _ => Err(ValueFault::new(format!("`{text}` is not a mount")).hint(usage)),
        }
    }
}

impl SettingKind for MountListKind {
    type Value = Vec<String>;

    fn expected() -> String {
        "a list of mounts as strings".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<ValueFault>> {
        list(&Self::expected(), value, Self::element)
    }
    fn from_text(text: &str) -> Result<Self::Value, ValueFault> {
        split(text)?
            .iter()
            .map(|word| Self::element(word))
            .collect()
    }
    fn anchor(value: Self::Value, base: PathBase<'_>) -> Self::Value {
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
