//! Faults of a hashes file, and of requested updates.

use std::fmt;

use thiserror::Error;

use crate::store::path::NameError;

/// A line that does not have the shape of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashesFault {
    /// The line, counted from 1.
    pub line: usize,
    /// Its text without its end.
    pub text: String,
    /// The fault.
    pub what: String,
    /// The remedy.
    pub hint: &'static str,
}

impl fmt::Display for HashesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)?;
        let text = self.text.trim();
        if !text.is_empty() {
            // Control characters and very long lines would hide the message itself.
            let shown: String = text
                .chars()
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .take(MAX_SHOWN)
                .collect();
            write!(f, ": {shown}")?;
        }
        Ok(())
    }
}

/// The longest part of a line in a message, in characters.
const MAX_SHOWN: usize = 160;

/// The number of lines that a message names; further ones are counted.
const MAX_FAULTS: usize = 10;

/// The reasons why a hashes file is not edited.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HashesError {
    /// Every line that does not have the shape which can be edited safely.
    #[error("{}", faults(.0))]
    Shape(Vec<HashesFault>),
    /// A name that could not be read back.
    #[error("{0}")]
    Name(#[from] NameError),
    /// Two different hashes for one name.
    #[error("`{0}` would get two different hashes")]
    TwoHashes(String),
}

impl HashesError {
    /// The remedy; one sentence for each kind of fault.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let HashesError::Shape(faults) = self else {
            return None;
        };
        let mut hints: Vec<&str> = Vec::new();
        for fault in faults {
            if !hints.contains(&fault.hint) {
                hints.push(fault.hint);
            }
        }
        Some(hints.join("; "))
    }
}

fn faults(faults: &[HashesFault]) -> String {
    let mut lines: Vec<String> = faults
        .iter()
        .take(MAX_FAULTS)
        .map(ToString::to_string)
        .collect();
    if faults.len() > MAX_FAULTS {
        lines.push(match faults.len() - MAX_FAULTS {
            1 => "and 1 more line".to_owned(),
            more => format!("and {more} more lines"),
        });
    }
    lines.join("\n")
}
