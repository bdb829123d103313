//! The reporters that draw events, one file each.
//!
//! [`REPORTERS`] lists them: a name, the situation that a reporter suits, and its constructor. To add one,
//! write a file with a [`Reporter`](crate::event::Reporter) and its [`ReporterEntry`], and add a line to
//! the array.
//!
//! Shared by several: [`run_model`] folds events into the state of a run, [`narrator`] words the lines that
//! tell it, `rows` and `pane` lay out and draw the live display, [`ci_log`] holds what GitHub and GitLab
//! have in common, [`sanitize`] cleans text from outside. [`replay`] feeds a record through any reporter.
//! This room knows events alone; the caller describes the terminal and the CI system in a
//! [`ReportContext`].

pub mod bars;
pub mod ci_log;
mod context;
pub mod github;
pub mod gitlab;
pub mod jsonl;
pub mod markdown;
pub mod narrator;
pub mod paint;
mod pane;
pub mod plain;
pub mod replay;
mod rows;
pub mod run_model;
pub mod sanitize;
pub mod summary;
pub mod terminal;

use std::io;
use std::path::{Path, PathBuf};

pub use crate::report::context::{CiSystem, ReportContext};

use crate::event::Reporter;

/// Where a reporter writes.
pub type ReportWriter = Box<dyn io::Write + Send>;

/// Every reporter. They finish in this order: the live display leaves standard error before the summary
/// appears on standard output.
pub static REPORTERS: &[ReporterEntry] = &[
    jsonl::RECORD,
    jsonl::EVENTS,
    github::ENTRY,
    gitlab::ENTRY,
    bars::ENTRY,
    plain::ENTRY,
    summary::ENTRY,
];

/// A reporter that a run can choose.
#[derive(Debug, Clone, Copy)]
pub struct ReporterEntry {
    /// Its name, unique among the reporters of a run.
    pub name: &'static str,
    /// Whether it draws a run in this situation. Pure.
    pub suits: fn(&ReportContext) -> bool,
    /// Opens its outputs.
    pub make: fn(&ReportContext) -> Result<Box<dyn Reporter>, ReporterError>,
}

/// An output of a reporter that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written: {source}", .path.display())]
pub struct ReporterError {
    /// The file.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl ReporterError {
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> ReporterError {
        move |source| ReporterError {
            path: path.to_owned(),
            source,
        }
    }
}

/// The names of the entries that suit a situation, in order. Pure.
#[must_use]
pub fn suitable<'a>(
    entries: &'a [ReporterEntry],
    context: &ReportContext,
) -> Vec<&'a ReporterEntry> {
    entries
        .iter()
        .filter(|entry| (entry.suits)(context))
        .collect()
}

/// Makes every reporter that suits a situation.
///
/// # Errors
/// When an output of one cannot be opened.
pub fn make(
    entries: &[ReporterEntry],
    context: &ReportContext,
) -> Result<Vec<Box<dyn Reporter>>, ReporterError> {
    suitable(entries, context)
        .into_iter()
        .map(|entry| (entry.make)(context))
        .collect()
}
