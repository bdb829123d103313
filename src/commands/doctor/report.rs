//! The report of `doctor`, as data and as text.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::commands::paint::{Color, paint};
use crate::tools::{ToolError, Version};

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckVerdict {
    /// Usable, or not needed.
    Ok,
    /// Builds are possible; the user should know.
    Warn,
    /// No build is possible.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DoctorCheck {
    /// The tool, or another subject.
    pub(super) name: String,
    /// The result.
    pub(super) verdict: CheckVerdict,
    /// The version, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    /// The absolute path, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<PathBuf>,
    /// The message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// The remedies, one line each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

impl DoctorCheck {
    pub(super) fn new(name: &str, verdict: CheckVerdict) -> Self {
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
            Self::new(name, CheckVerdict::Fail)
                .says(error.to_string())
                .hint(error.hint())
        } else {
            Self::new(name, CheckVerdict::Ok).says(format!("not needed ({error})"))
        }
    }
}

/// The report; as JSON `{"schema":1,"checks":[…]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DoctorReport {
    schema: u32,
    /// The checks, in the order of display.
    pub(super) checks: Vec<DoctorCheck>,
}

impl DoctorReport {
    pub(super) fn new(checks: Vec<DoctorCheck>) -> Self {
        Self { schema: 1, checks }
    }
}

impl DoctorReport {
    /// Aligned text: a line for each check, hints below it, and a summary.
    #[must_use]
    pub(super) fn render(&self, color: bool) -> String {
        let width = |of: fn(&DoctorCheck) -> usize| self.checks.iter().map(of).max().unwrap_or(0);
        let name_width = width(|check| check.name.len());
        let version_width = width(|check| check.version.as_ref().map_or(0, String::len));
        let mut text = String::new();
        for check in &self.checks {
            let (word, paint_with) = match check.verdict {
                CheckVerdict::Ok => ("ok  ", Color::Green),
                CheckVerdict::Warn => ("warn", Color::Yellow),
                CheckVerdict::Fail => ("FAIL", Color::Red),
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
        match (count(CheckVerdict::Fail), count(CheckVerdict::Warn)) {
            (0, 0) => "This host can build.".to_owned(),
            (0, warnings) => format!("This host can build, with {}.", noun(warnings, "warning")),
            (failures, warnings) => format!(
                "This host cannot build: {}, {}.",
                noun(failures, "failure"),
                noun(warnings, "warning")
            ),
        }
    }

    /// 0 if the host can build, 3 if only settings are at fault, 4 otherwise.
    #[must_use]
    pub(super) fn exit_code(&self) -> u8 {
        let mut failed = self
            .checks
            .iter()
            .filter(|check| check.verdict == CheckVerdict::Fail)
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
