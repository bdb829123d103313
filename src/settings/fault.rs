//! What can be wrong with a setting, and where.
//!
//! Faults of files are drawn as those of the matrix are (`model::faults`).

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::model::faults::{Fault as FileFault, Faults};

/// The text of a settings file, and the name under which messages show it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    name: String,
    text: Arc<str>,
}

impl Source {
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

/// One thing that is wrong with one setting.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What is wrong, and why.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Whether the file is not TOML at all here: whoever else reads the file says so, too.
    pub syntax: bool,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    File { source: Source, span: Range<usize> },
    Named(String),
}

impl Fault {
    pub(crate) fn in_file(
        source: &Source,
        span: Range<usize>,
        message: String,
        hint: Option<String>,
    ) -> Self {
        Self {
            message,
            hint,
            syntax: false,
            place: Place::File {
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
            place: Place::Named(place.to_owned()),
        }
    }

    /// `file:line:column`, or the name of the variable or option.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.place {
            Place::File { source, span } => {
                let (line, column) = source.line_column(span.start);
                format!("{}:{line}:{column}", source.name)
            }
            Place::Named(name) => name.clone(),
        }
    }

    /// The bytes at fault, where it is a file's.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        match &self.place {
            Place::File { span, .. } => Some(span.clone()),
            Place::Named(_) => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            // Where the file is underlined, the place stands over it.
            Place::File { .. } => f.write_str(&self.message),
            Place::Named(name) => write!(f, "{name}: {}", self.message),
        }
    }
}

impl std::error::Error for Fault {}

impl Serialize for Fault {
    /// `{"place","message","hint"}`; without a hint where there is none.
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

impl Fault {
    /// The fault as text: its line underlined where it is a file's, and its hint.
    fn render(&self, color: bool) -> String {
        match &self.place {
            Place::File { source, span } => {
                let fault = FileFault::at(span.clone(), &self.message, "");
                self.hinted(fault).render(&source.name, &source.text, color)
            }
            Place::Named(_) => {
                let fault = FileFault::nowhere(self.to_string());
                self.hinted(fault).render("", "", color)
            }
        }
    }

    fn hinted(&self, fault: FileFault) -> Faults {
        let fault = match &self.hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        };
        Faults::from_iter([fault])
    }
}

/// All that is wrong with the settings; never empty.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", summary(.faults.len()))]
pub struct SettingsError {
    /// In the order of the layers, within a file in the order of its lines.
    pub faults: Vec<Fault>,
}

fn summary(count: usize) -> String {
    match count {
        1 => "the settings have a fault".to_owned(),
        _ => format!("the settings have {count} faults"),
    }
}

impl SettingsError {
    /// Every fault as text, and how many there are.
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
