//! The reporter for GitLab CI: one collapsible section for each variant.
//!
//! Source of the markers: "Create custom collapsible sections" in GitLab's page on job logs. A marker needs
//! a carriage return and an erase sequence, which no cleaned line contains. The marker words in a child's
//! line are broken up as well, in case a later reader joins lines.

use std::io;
use std::sync::Arc;

use crate::event::Clock;
use crate::report::ci_log::{CiDialect, CiLog, CiSection};
use crate::report::sanitize::without_colors;
use crate::report::{CiSystem, ReportWriter, ReporterEntry};

const ERASE: &str = "\u{1b}[0K";

/// The entry of the reporter for GitLab CI.
pub(super) const ENTRY: ReporterEntry = ReporterEntry {
    name: "gitlab",
    suits: |context| context.ci_log() == Some(CiSystem::GitLab),
    make: |context| {
        Ok(Box::new(GitLab::new(
            Box::new(io::stdout()),
            Arc::clone(&context.clock),
            context.stdout_color,
        )))
    },
};

/// The reporter for GitLab CI.
pub type GitLab = CiLog<GitLabDialect>;

impl GitLab {
    /// Writes to `out`, the job's log.
    #[must_use]
    pub fn new(out: ReportWriter, clock: Clock, color: bool) -> GitLab {
        CiLog::with_dialect(out, clock, color, GitLabDialect)
    }
}

/// GitLab's section markers.
pub struct GitLabDialect;

impl CiDialect for GitLabDialect {
    fn name(&self) -> &'static str {
        "gitlab"
    }

    fn neutral(&self, line: &str) -> String {
        neutral(line)
    }

    fn open(&mut self, section: &CiSection<'_>) -> String {
        format!(
            "{ERASE}section_start:{}:{}[collapsed=true]\r{ERASE}{}\n",
            section.start.as_second(),
            name(section),
            neutral(&section.title)
        )
    }

    fn close(&mut self, section: &CiSection<'_>) -> String {
        format!(
            "{ERASE}section_end:{}:{}\r{ERASE}\n",
            section.end.as_second(),
            name(section)
        )
    }
}

/// A cleaned line, changed so that GitLab finds no marker in it.
#[must_use]
pub fn neutral(line: &str) -> String {
    let bare = without_colors(line);
    if bare.contains("section_start:") || bare.contains("section_end:") {
        bare.replace("section_start:", "section start:")
            .replace("section_end:", "section end:")
    } else {
        line.to_owned()
    }
}

/// The section's name. GitLab allows letters, digits, `_`, `.` and `-`; the number keeps names apart that
/// become equal by the replacement.
fn name(section: &CiSection<'_>) -> String {
    let key: String = section
        .key
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
            _ => '_',
        })
        .collect();
    format!("variant_{}_{key}", section.index + 1)
}
