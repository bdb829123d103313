//! Subcommands, one thin file each.

pub mod config;
pub mod doctor;
pub mod failure;
pub mod list;
mod paint;

/// JSON as commands print it: indented, with a newline at the end.
fn json(value: &impl serde::Serialize) -> String {
    // Nothing that commands print can fail to become JSON: keys are strings, numbers are finite.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
