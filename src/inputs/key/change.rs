//! Differences between two lists of key lines.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::inputs::key::{InputClass, KeyLine};

/// A key line that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputChange {
    /// The class of the input.
    pub class: InputClass,
    /// Its name.
    pub name: String,
    /// The value before; `None` for a new line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The value now; `None` for a line that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
}

/// Whether a value is a SHA-256, which a message leaves out.
fn is_hash(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl std::fmt::Display for InputChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let noun = self.class.noun();
        let name = &self.name;
        match (&self.before, &self.now) {
            (None, Some(now)) if is_hash(now) => write!(f, "{noun} {name} is new"),
            (None, Some(now)) => write!(f, "{noun} {name} is new: {now}"),
            (Some(_), None) => write!(f, "{noun} {name} is gone"),
            (Some(before), Some(now)) if is_hash(before) || is_hash(now) => {
                write!(f, "{noun} {name} has changed")
            }
            (before, now) => write!(
                f,
                "{noun} {name} was {}, is {}",
                before.as_deref().unwrap_or_default(),
                now.as_deref().unwrap_or_default()
            ),
        }
    }
}

/// The lines that differ, in the order of the walk; within a class, lines that are gone come last.
#[must_use]
pub fn changes(before: &[KeyLine], now: &[KeyLine]) -> Vec<InputChange> {
    let named = |lines: &[KeyLine]| -> BTreeMap<(InputClass, String), String> {
        lines
            .iter()
            .map(|KeyLine(class, name, value)| ((*class, name.clone()), value.clone()))
            .collect()
    };
    let (old, new) = (named(before), named(now));
    let mut found = Vec::new();
    for (key, value) in &new {
        if old.get(key) != Some(value) {
            found.push(InputChange {
                class: key.0,
                name: key.1.clone(),
                before: old.get(key).cloned(),
                now: Some(value.clone()),
            });
        }
    }
    for (key, value) in &old {
        if !new.contains_key(key) {
            found.push(InputChange {
                class: key.0,
                name: key.1.clone(),
                before: Some(value.clone()),
                now: None,
            });
        }
    }
    found.sort_by_key(|change| (change.class, change.now.is_none()));
    found
}

/// Inputs that were unknown before a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnknownInputs {
    /// The version of kas-container or kas, or the digest of the image.
    pub tools: bool,
    /// The content of kas files included from a repository that was not cloned yet.
    pub includes: bool,
}

impl UnknownInputs {
    /// Whether a line may be new only because an unknown input became known.
    fn explains(self, class: InputClass, name: &str) -> bool {
        match class {
            InputClass::Program | InputClass::Image => self.tools,
            InputClass::Repository
            | InputClass::Include
            | InputClass::Layer
            | InputClass::Patch
            | InputClass::Variable => self.includes,
            // A file of another repository is called `REPOSITORY:FILE`.
            InputClass::KasFile => self.includes && name.contains(':'),
            _ => false,
        }
    }
}

/// The lines that changed during a build. A new line that `unknown` explains is not a change.
#[must_use]
pub fn changed_meanwhile(
    before: &[KeyLine],
    after: &[KeyLine],
    unknown: UnknownInputs,
) -> Vec<InputChange> {
    let mut found = changes(before, after);
    found.retain(|change| change.before.is_some() || !unknown.explains(change.class, &change.name));
    found
}
