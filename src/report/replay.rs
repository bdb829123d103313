//! Replay: reads the record of a run and feeds it through reporters, which draw the same picture again.

use std::io::BufRead;

use crate::event::{EVENT_VERSION, Event, Reporter};

/// The counts of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Events drawn.
    pub events: u64,
    /// Events skipped because this version does not know their kind.
    pub unknown: u64,
    /// Whether the last line is incomplete, as after a kill in the middle of a write.
    pub cut: bool,
}

/// A failed replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The record cannot be read.
    #[error("cannot read the events: {0}")]
    Read(std::io::Error),
    /// A line is not an event.
    #[error("line {line} is not an event: {source}")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// A newer version wrote it.
    #[error(
        "line {line} is an event of version {version}; this program reads version {EVENT_VERSION}"
    )]
    Version {
        /// The line's number, from 1.
        line: usize,
        /// The version that the event states.
        version: u64,
    },
    /// A reporter failed.
    #[error("reporter `{reporter}` failed: {source}")]
    Reporter {
        /// The reporter's name.
        reporter: &'static str,
        /// Its error.
        source: std::io::Error,
    },
}

/// Feeds a JSON-lines record through `reporters` and finishes them.
///
/// # Errors
/// When the record cannot be read, a line is not an event of this version, or a reporter fails.
pub fn replay(
    record: impl BufRead,
    reporters: &mut [Box<dyn Reporter>],
) -> Result<Replayed, ReplayError> {
    let mut replayed = Replayed::default();
    let mut lines = record.split(b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let line = line.map_err(ReplayError::Read)?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match parse(index + 1, &line) {
            Ok(Some(event)) => {
                replayed.events += 1;
                each(reporters, |reporter| reporter.event(&event))?;
            }
            Ok(None) => replayed.unknown += 1,
            Err(ReplayError::Line { source, .. }) if source.is_eof() && lines.peek().is_none() => {
                replayed.cut = true;
            }
            Err(error) => return Err(error),
        }
    }
    each(reporters, |reporter| reporter.finish())?;
    Ok(replayed)
}

fn each(
    reporters: &mut [Box<dyn Reporter>],
    mut call: impl FnMut(&mut dyn Reporter) -> std::io::Result<()>,
) -> Result<(), ReplayError> {
    for reporter in reporters {
        call(reporter.as_mut()).map_err(|source| ReplayError::Reporter {
            reporter: reporter.name(),
            source,
        })?;
    }
    Ok(())
}

/// The event of a line; none if its kind is unknown, as a later version may have added it.
fn parse(line: usize, text: &[u8]) -> Result<Option<Event>, ReplayError> {
    let fault = |source| ReplayError::Line { line, source };
    let value: serde_json::Value = serde_json::from_slice(text).map_err(fault)?;
    let version = value.get("v").and_then(serde_json::Value::as_u64);
    if let Some(version) = version.filter(|&version| version != u64::from(EVENT_VERSION)) {
        return Err(ReplayError::Version { line, version });
    }
    match serde_json::from_value(value) {
        Ok(event) => Ok(Some(event)),
        // serde's words for an unknown tag. A known kind with a wrong field is an error.
        Err(error) if error.to_string().starts_with("unknown variant") => Ok(None),
        Err(error) => Err(fault(error)),
    }
}
