//! What can be wrong with a setting, and where.
//!
//! Knows nothing of how faults are drawn, beyond what `miette` needs to underline them.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// The text of a settings file, and the name under which messages show it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    name: String,
    text: Arc<str>,
    shown: NamedSource<Arc<str>>,
}

impl Source {
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        let name = path.display().to_string();
        let text: Arc<str> = text.into();
        Self {
            shown: NamedSource::new(&name, Arc::clone(&text)),
            name,
            text,
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

impl Diagnostic for Fault {
    fn severity(&self) -> Option<miette::Severity> {
        Some(miette::Severity::Error)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint
            .as_ref()
            .map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        match &self.place {
            Place::File { source, .. } => Some(&source.shown),
            Place::Named(_) => None,
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.span()?;
        Some(Box::new(std::iter::once(LabeledSpan::underline(span))))
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

impl Diagnostic for SettingsError {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(
            self.faults.iter().map(|fault| fault as &dyn Diagnostic),
        ))
    }
}
