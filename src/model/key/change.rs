//! What differs between the inputs of two moments. Knows nothing of which of them counts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Class, Line};

/// A line that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is about.
    pub class: Class,
    /// Its name.
    pub name: String,
    /// What it was; none where it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is; none where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
}

/// A hash is of no use to the eye.
fn is_hash(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl std::fmt::Display for Change {
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

/// What differs, in the order of the walk; a line that is gone comes last of its class.
#[must_use]
pub fn changes(before: &[Line], now: &[Line]) -> Vec<Change> {
    let named = |lines: &[Line]| -> BTreeMap<(Class, String), String> {
        lines
            .iter()
            .map(|Line(class, name, value)| ((*class, name.clone()), value.clone()))
            .collect()
    };
    let (old, new) = (named(before), named(now));
    let mut found = Vec::new();
    for (key, value) in &new {
        if old.get(key) != Some(value) {
            found.push(Change {
                class: key.0,
                name: key.1.clone(),
                before: old.get(key).cloned(),
                now: Some(value.clone()),
            });
        }
    }
    for (key, value) in &old {
        if !new.contains_key(key) {
            found.push(Change {
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

/// What could not be known before a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unknown {
    /// What the program and the image are.
    pub tools: bool,
    /// What kas files say that are included from a repository which is not cloned.
    pub includes: bool,
}

impl Unknown {
    /// Whether a line may be new only because it came to be known.
    fn explains(self, class: Class, name: &str) -> bool {
        match class {
            Class::Program | Class::Image => self.tools,
            Class::Repository | Class::Include | Class::Layer | Class::Patch | Class::Variable => {
                self.includes
            }
            // That of another repository is called `REPOSITORY:FILE`.
            Class::KasFile => self.includes && name.contains(':'),
            _ => false,
        }
    }
}

/// What changed while a variant was built. What could not be known before may have come to be known.
#[must_use]
pub fn changed_meanwhile(before: &[Line], after: &[Line], unknown: Unknown) -> Vec<Change> {
    let mut found = changes(before, after);
    found.retain(|change| change.before.is_some() || !unknown.explains(change.class, &change.name));
    found
}
