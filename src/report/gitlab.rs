//! The reporter for GitLab CI: a collapsible section a variant.
//!
//! Source of the markers: "Create custom collapsible sections" in GitLab's page on job logs. A marker needs
//! a carriage return and an erase sequence, which no cleaned line holds; its words are broken up besides,
//! so that nothing that joins lines later can make one.

use super::ci_log::{CiLog, Dialect, Section};
use super::sanitize::without_colors;
use super::{Clock, Output};

const ERASE: &str = "\u{1b}[0K";

/// The reporter for GitLab CI.
pub type GitLab = CiLog<GitLabDialect>;

impl GitLab {
    /// Writes to `out`, which the job's log takes.
    #[must_use]
    pub fn new(out: Output, clock: Clock, color: bool) -> GitLab {
        CiLog::with_dialect(out, clock, color, GitLabDialect)
    }
}

/// How GitLab wants it.
pub struct GitLabDialect;

impl Dialect for GitLabDialect {
    fn name(&self) -> &'static str {
        "gitlab"
    }

    fn neutral(&self, line: &str) -> String {
        neutral(line)
    }

    fn open(&mut self, section: &Section<'_>) -> String {
        format!(
            "{ERASE}section_start:{}:{}[collapsed=true]\r{ERASE}{}\n",
            section.start.as_second(),
            name(section),
            neutral(&section.title)
        )
    }

    fn close(&mut self, section: &Section<'_>) -> String {
        format!(
            "{ERASE}section_end:{}:{}\r{ERASE}\n",
            section.end.as_second(),
            name(section)
        )
    }
}

/// A cleaned line in which GitLab sees no marker.
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

/// Letters, digits, `_`, `.` and `-` are allowed; the place keeps two names apart that become equal so.
fn name(section: &Section<'_>) -> String {
    let key: String = section
        .key
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
            _ => '_',
        })
        .collect();
    format!("variant_{}_{key}", section.place + 1)
}
