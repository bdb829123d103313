//! What is wrong with a hashes file, or with what it is asked to take.

use std::fmt;

use thiserror::Error;

use crate::store::path::NameError;

/// A line that is not of the file's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1.
    pub line: usize,
    /// Its text without its end.
    pub text: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: &'static str,
}

impl fmt::Display for Fault {
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

/// How much of a line a message shows, in characters.
const MAX_SHOWN: usize = 160;

/// How many lines a message names before it only counts.
const MAX_FAULTS: usize = 10;

/// Why a hashes file is not edited.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HashesError {
    /// The file is not of the shape that can be edited safely; every such line.
    #[error("{}", faults(.0))]
    Shape(Vec<Fault>),
    /// A name that could not be read back.
    #[error("{0}")]
    Name(#[from] NameError),
    /// One name is to get two hashes at once.
    #[error("`{0}` would get two different hashes")]
    TwoHashes(String),
}

impl HashesError {
    /// What to do about it; one sentence for each kind of fault.
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

fn faults(faults: &[Fault]) -> String {
    let mut lines: Vec<String> = faults
        .iter()
        .take(MAX_FAULTS)
        .map(ToString::to_string)
        .collect();
    if faults.len() > MAX_FAULTS {
        lines.push(format!("and {} more lines", faults.len() - MAX_FAULTS));
    }
    lines.join("\n")
}
