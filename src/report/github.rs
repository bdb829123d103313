//! The reporter for GitHub Actions: one group for each variant, annotations, and the job summary.
//!
//! Source of the syntax, and of the lines that the runner obeys: `ActionCommand.cs` of actions/runner. A line
//! is a command if it starts with `::` after white space, or contains `##[`; lines end at `\r` and `\n`. A
//! child's line is changed so that it is neither. As a second barrier it stands between `stop-commands` and
//! a token that the child cannot know.

use std::fs::OpenOptions;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::event::Clock;
use crate::report::ci_log::{CiDialect, CiFailure, CiLog, CiSection};
use crate::report::run_model::RunModel;
use crate::report::sanitize::{Colors, clean, without_colors};
use crate::report::{CiSystem, ReportWriter, ReporterEntry, markdown};

/// Returns a new, unpredictable token at each call.
pub type Tokens = Box<dyn FnMut() -> String + Send>;

/// The entry of the reporter for GitHub Actions.
pub(super) const ENTRY: ReporterEntry = ReporterEntry {
    name: "github",
    suits: |context| context.ci_log() == Some(CiSystem::GitHub),
    make: |context| {
        Ok(Box::new(GitHub::new(
            Box::new(io::stdout()),
            Arc::clone(&context.clock),
            context.stdout_color,
            context.step_summary.as_deref(),
            Box::new(random_token),
        )))
    },
};

/// The reporter for GitHub Actions.
pub type GitHub = CiLog<GitHubDialect>;

impl GitHub {
    /// Writes to `out`, which the runner reads. At the end, appends the job summary to the file `summary`
    /// (`$GITHUB_STEP_SUMMARY`). `tokens` is [`random_token`] outside of tests.
    #[must_use]
    pub fn new(
        out: ReportWriter,
        clock: Clock,
        color: bool,
        summary: Option<&Path>,
        tokens: Tokens,
    ) -> GitHub {
        let dialect = GitHubDialect {
            summary: summary.map(Path::to_path_buf),
            tokens,
            token: String::new(),
        };
        CiLog::with_dialect(out, clock, color, dialect)
    }
}

/// A token of 128 bits from the operating system's randomness behind [`RandomState`]. A section is written
/// after its child has ended, in one write, so the child has no chance to guess the token.
#[must_use]
pub fn random_token() -> String {
    let part = || RandomState::new().build_hasher().finish();
    format!("isar-{:016x}{:016x}", part(), part())
}

/// GitHub's workflow commands.
pub struct GitHubDialect {
    summary: Option<PathBuf>,
    tokens: Tokens,
    token: String,
}

impl CiDialect for GitHubDialect {
    fn name(&self) -> &'static str {
        "github"
    }

    fn neutral(&self, line: &str) -> String {
        neutral(line)
    }

    fn open(&mut self, section: &CiSection<'_>) -> String {
        self.token = (self.tokens)();
        format!(
            "::group::{}\n::stop-commands::{}\n",
            escape_data(&neutral(&section.title)),
            self.token
        )
    }

    fn close(&mut self, _section: &CiSection<'_>) -> String {
        format!("::{}::\n::endgroup::\n", self.token)
    }

    fn failed(&mut self, failure: &CiFailure<'_>) -> String {
        let title = format!("{}: {} failed", failure.key, failure.verb);
        annotation("error", &title, failure.why, failure.hint)
    }

    fn warned(&mut self, key: Option<&str>, message: &str, hint: Option<&str>) -> String {
        annotation("warning", key.unwrap_or("isar-build-all"), message, hint)
    }

    fn finish(&mut self, model: &RunModel) -> io::Result<()> {
        let Some(path) = &self.summary else {
            return Ok(());
        };
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?
            .write_all(markdown::job_summary(model).as_bytes())
    }
}

/// A cleaned line, changed so that the runner finds no command in it.
#[must_use]
pub fn neutral(line: &str) -> String {
    let bare = without_colors(line);
    let opens = bare.trim_start().starts_with("::");
    if !opens && !bare.contains("##[") {
        return line.to_owned();
    }
    // Such a line loses its colours: between the characters of a command they could hide it from here.
    let safe = bare.replace("##[", "## [");
    if opens {
        safe.replacen("::", ": :", 1)
    } else {
        safe
    }
}

fn annotation(command: &str, title: &str, message: &str, hint: Option<&str>) -> String {
    let mut message = clean_lines(message);
    if let Some(hint) = hint {
        message.push_str("\nhint: ");
        message.push_str(&clean_lines(hint));
    }
    format!(
        "::{command} title={}::{}\n",
        escape_property(&clean(title, Colors::Drop)),
        escape_data(&message)
    )
}

fn clean_lines(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| neutral(&clean(line, Colors::Drop)))
        .collect();
    lines.join("\n")
}

/// Escapes the message of a command.
#[must_use]
pub fn escape_data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property of a command.
#[must_use]
pub fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}
