//! Faults of TOML syntax.

use toml::de::Error;

use crate::base::fault::{Fault, Faults};

/// The errors of the TOML parser as faults, without those that only follow from another.
#[must_use]
pub fn faults(errors: &[Error], source: &str) -> Faults {
    let mut faults = Faults::new();
    let mut last_line = None;
    let mut repeated_table: Option<usize> = None;
    for error in errors {
        let line = error.span().map(|span| line_start(source, span.start));
        if line.is_some() && line == last_line {
            continue;
        }
        let is_duplicate = error.message() == "duplicate key";
        // In a table that is defined twice, every key is a duplicate, too.
        if let (true, Some(table), Some(line)) = (is_duplicate, repeated_table, line)
            && !has_header(source, table + 1, line + 1)
        {
            continue;
        }
        if is_duplicate {
            repeated_table = line.filter(|&line| source[line..].starts_with('['));
        }
        last_line = line;
        faults.push(fault(error, is_duplicate));
        // The parser recovers from these at the next line. After any other error it misreads what
        // follows, and its further errors are noise.
        let stays_in_line = is_duplicate || error.message().starts_with("string values must be");
        if !stays_in_line {
            break;
        }
    }
    faults
}

fn fault(error: &Error, is_duplicate: bool) -> Fault {
    let message = format!("invalid TOML: {}", error.message());
    let fault = match error.span() {
        Some(span) => Fault::at(span, message, "here"),
        None => Fault::nowhere(message),
    };
    fault.hint(if is_duplicate {
        "a key or table can be defined once: remove one, or rename it"
    } else {
        "strings and keys with special characters need quotes, lists commas and brackets; see https://toml.io"
    })
}

fn line_start(source: &str, at: usize) -> usize {
    let head = source.get(..at).unwrap_or(source);
    head.rfind('\n').map_or(0, |end| end + 1)
}

/// Whether a table header starts between two offsets.
fn has_header(source: &str, from: usize, to: usize) -> bool {
    source
        .get(from..to)
        .is_some_and(|between| between.contains("\n["))
}
