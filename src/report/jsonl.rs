//! The JSON-lines reporter: one flushed line for each event. The record of a run.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::event::{Event, Reporter};
use crate::report::{ReportWriter, ReporterEntry, ReporterError};

/// The entry of the record in the run's own directory, which every run has.
pub(super) const RECORD: ReporterEntry = ReporterEntry {
    name: "record",
    suits: |_| true,
    make: |context| create(&context.record),
};

/// The entry of the record that the user asked for (`--events`).
pub(super) const EVENTS: ReporterEntry = ReporterEntry {
    name: "events",
    suits: |context| context.events.is_some(),
    make: |context| create(context.events.as_deref().unwrap_or(Path::new("-"))),
};

fn create(path: &Path) -> Result<Box<dyn Reporter>, ReporterError> {
    match JsonLines::create(path) {
        Ok(reporter) => Ok(Box::new(reporter)),
        Err(error) => Err(ReporterError::at(path)(error)),
    }
}

/// The JSON-lines reporter.
pub struct JsonLines {
    out: ReportWriter,
    line: String,
}

impl JsonLines {
    /// Writes to a file, which is created or truncated, or to standard output if the path is `-`.
    ///
    /// # Errors
    /// When the file cannot be created. Its directory must exist.
    pub fn create(path: &Path) -> io::Result<JsonLines> {
        if path == Path::new("-") {
            return Ok(JsonLines::to(Box::new(io::stdout())));
        }
        Ok(JsonLines::to(Box::new(File::create(path)?)))
    }

    /// Writes to `out`.
    #[must_use]
    pub fn to(out: ReportWriter) -> JsonLines {
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
        // GitHub's runner obeys `##[…]` anywhere in a line of standard output. JSON has `#` in strings
        // alone, and there the escape means the same.
        self.line
            .push_str(&serde_json::to_string(event)?.replace("##[", "\\u0023#["));
        self.line.push('\n');
        // One write for each line, so that readers see whole lines, also after a kill.
        self.out.write_all(self.line.as_bytes())?;
        self.out.flush()
    }
}
