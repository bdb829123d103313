//! What doctor found, as data and as text. Knows nothing of how it is found.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::commands::paint::{Color, paint};
use crate::tools::{ToolError, Version};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is as it should be, or not needed.
    Ok,
    /// Builds go on, and one should know.
    Warn,
    /// Nothing can be built.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The tool, or what else it is.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// The version, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The absolute path, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// What there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What to do, a line each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    pub(super) fn new(name: &str, verdict: Verdict) -> Self {
        Self {
            name: name.to_owned(),
            verdict,
            version: None,
            path: None,
            message: None,
            hint: None,
        }
    }

    pub(super) fn at(mut self, path: &Path, version: Option<Version>) -> Self {
        self.path = Some(path.to_path_buf());
        self.version = version.map(|version| version.to_string());
        self
    }

    pub(super) fn says(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    pub(super) fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    pub(super) fn tool(name: &str, needed: bool, error: &ToolError) -> Self {
        if needed {
            Self::new(name, Verdict::Fail)
                .says(error.to_string())
                .hint(error.hint())
        } else {
            Self::new(name, Verdict::Ok).says(format!("not needed ({error})"))
        }
    }
}

/// What was found. As JSON `{"schema":1,"checks":[…]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoctorReport {
    schema: u32,
    /// In the order in which they are shown.
    pub checks: Vec<Check>,
}

impl DoctorReport {
    pub(super) fn new(checks: Vec<Check>) -> Self {
        Self { schema: 1, checks }
    }
}

impl DoctorReport {
    /// Aligned text: a line a check, hints below it, and a summary.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let width = |of: fn(&Check) -> usize| self.checks.iter().map(of).max().unwrap_or(0);
        let name_width = width(|check| check.name.len());
        let version_width = width(|check| check.version.as_ref().map_or(0, String::len));
        let mut text = String::new();
        for check in &self.checks {
            let (word, paint_with) = match check.verdict {
                Verdict::Ok => ("ok  ", Color::Green),
                Verdict::Warn => ("warn", Color::Yellow),
                Verdict::Fail => ("FAIL", Color::Red),
            };
            let version = check.version.as_deref().unwrap_or_default();
            let path = check.path.as_ref().map(|path| path.display().to_string());
            let said = [path, check.message.clone()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("  ");
            let indent = " ".repeat(4 + 2 + name_width + 2 + version_width + 2);
            let said = said.replace('\n', &format!("\n{indent}"));
            text += &format!(
                "{}  {:name_width$}  {version:version_width$}  {said}\n",
                paint(color, paint_with, word),
                check.name,
            );
            for line in check.hint.iter().flat_map(|hint| hint.lines()) {
                text += &format!("{indent}{} {line}\n", paint(color, Color::Bold, "hint:"));
            }
        }
        text += &format!("\n{}\n", self.summary());
        text
    }

    fn summary(&self) -> String {
        let count = |verdict| {
            self.checks
                .iter()
                .filter(|check| check.verdict == verdict)
                .count()
        };
        let noun = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {one}s"),
        };
        match (count(Verdict::Fail), count(Verdict::Warn)) {
            (0, 0) => "This host can build.".to_owned(),
            (0, warnings) => format!("This host can build, with {}.", noun(warnings, "warning")),
            (failures, warnings) => format!(
                "This host cannot build: {}, {}.",
                noun(failures, "failure"),
                noun(warnings, "warning")
            ),
        }
    }

    /// 0 where the host can build, 4 where it lacks something, 3 where only settings are at fault.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let mut failed = self
            .checks
            .iter()
            .filter(|check| check.verdict == Verdict::Fail)
            .peekable();
        if failed.peek().is_none() {
            0
        } else if failed.all(|check| check.name == "settings") {
            3
        } else {
            4
        }
    }
}
