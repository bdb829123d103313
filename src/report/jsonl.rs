//! The JSON-lines reporter: each event one line, flushed. The record of a run.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::{Output, Reporter};
use crate::model::event::Event;

/// The JSON-lines reporter.
pub struct JsonLines {
    out: Output,
    line: String,
}

impl JsonLines {
    /// Writes to a file, which is created or emptied, or to standard output where the path is `-`.
    ///
    /// # Errors
    /// When the file cannot be created; the directory must exist.
    pub fn create(path: &Path) -> io::Result<JsonLines> {
        if path == Path::new("-") {
            return Ok(JsonLines::to(Box::new(io::stdout())));
        }
        Ok(JsonLines::to(Box::new(File::create(path)?)))
    }

    /// Writes to `out`.
    #[must_use]
    pub fn to(out: Output) -> JsonLines {
        JsonLines {
            out,
            line: String::new(),
        }
    }
}

impl Reporter for JsonLines {
    fn name(&self) -> &'static str {
        "events"
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.line.clear();
        // GitHub's runner obeys `##[…]` anywhere in a line, so a record on standard output must not hold
        // it. Outside of strings JSON has no `#`, and inside of them the escape means the same.
        self.line
            .push_str(&serde_json::to_string(event)?.replace("##[", "\\u0023#["));
        self.line.push('\n');
        // One write a line: a reader that follows the file, or a kill, sees whole lines.
        self.out.write_all(self.line.as_bytes())?;
        self.out.flush()
    }
}
