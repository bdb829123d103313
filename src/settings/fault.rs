//! Faults of settings, in files and in variables.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::base::fault::{Fault, Faults};

/// The text of a settings file, and its name in messages.
#[derive(Debug, Clone)]
pub(crate) struct SettingsSource {
    name: String,
    text: Arc<str>,
}

impl SettingsSource {
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        Self {
            name: path.display().to_string(),
            text: text.into(),
        }
    }

    /// `file:line`, with the line counted from 1.
    pub(crate) fn line_place(&self, offset: usize) -> String {
        format!("{}:{}", self.name, self.line_column(offset).0)
    }

    /// Line and column of a byte offset; both from 1, the column in characters.
    fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        (line, column)
    }
}

/// One fault of one setting.
#[derive(Debug, Clone)]
pub struct SettingsFault {
    /// The fault and its cause.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    /// Whether the fault is in the TOML syntax; the matrix reports the same fault of variants.toml.
    pub syntax: bool,
    origin: FaultOrigin,
}

#[derive(Debug, Clone)]
enum FaultOrigin {
    File {
        source: SettingsSource,
        span: Range<usize>,
    },
    /// The name of a variable or option.
    Named(String),
}

impl SettingsFault {
    pub(crate) fn in_file(
        source: &SettingsSource,
        span: Range<usize>,
        message: String,
        hint: Option<String>,
    ) -> Self {
        Self {
            message,
            hint,
            syntax: false,
            origin: FaultOrigin::File {
                source: source.clone(),
                span,
            },
        }
    }

    pub(crate) fn at(place: &str, message: String, hint: Option<String>) -> Self {
        Self {
            message,
            hint,
            syntax: false,
            origin: FaultOrigin::Named(place.to_owned()),
        }
    }

    /// `file:line:column`, or the name of the variable or option.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.origin {
            FaultOrigin::File { source, span } => {
                let (line, column) = source.line_column(span.start);
                format!("{}:{line}:{column}", source.name)
            }
            FaultOrigin::Named(name) => name.clone(),
        }
    }

    /// The span in the file, for a fault in a file.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        match &self.origin {
            FaultOrigin::File { span, .. } => Some(span.clone()),
            FaultOrigin::Named(_) => None,
        }
    }
}

impl fmt::Display for SettingsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            // `render` prints the place of a fault in a file above the underlined source.
            FaultOrigin::File { .. } => f.write_str(&self.message),
            FaultOrigin::Named(name) => write!(f, "{name}: {}", self.message),
        }
    }
}

impl std::error::Error for SettingsFault {}

impl Serialize for SettingsFault {
    /// `{"place","message","hint"}`; `hint` is left out if there is none.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("place", &self.place())?;
        fields.serialize_entry("message", &self.message)?;
        if let Some(hint) = &self.hint {
            fields.serialize_entry("hint", hint)?;
        }
        fields.end()
    }
}

impl SettingsFault {
    /// The fault as text, with the underlined source for a fault in a file.
    fn render(&self, color: bool) -> String {
        match &self.origin {
            FaultOrigin::File { source, span } => {
                let fault = Fault::at(span.clone(), &self.message, "");
                self.hinted(fault).render(&source.name, &source.text, color)
            }
            FaultOrigin::Named(_) => {
                let fault = Fault::nowhere(self.to_string());
                self.hinted(fault).render("", "", color)
            }
        }
    }

    fn hinted(&self, fault: Fault) -> Faults {
        let fault = match &self.hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        };
        Faults::from_iter([fault])
    }
}

/// All faults of the settings; never empty.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", summary(.faults.len()))]
pub struct SettingsError {
    /// The faults, in the order of the layers, and within a file in the order of its lines.
    pub faults: Vec<SettingsFault>,
}

fn summary(count: usize) -> String {
    match count {
        1 => "the settings have 1 fault".to_owned(),
        _ => format!("the settings have {count} faults"),
    }
}

impl SettingsError {
    /// Every fault as text, followed by their number.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let each: Vec<String> = self
            .faults
            .iter()
            .map(|fault| fault.render(color))
            .collect();
        format!("{}\nerror: {self}\n", each.join("\n"))
    }
}
