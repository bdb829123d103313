//! The reporter for GitHub Actions: a group a variant, annotations, and the job summary.
//!
//! Source of the syntax and of what the runner obeys: `ActionCommand.cs` of actions/runner. It takes a line
//! that starts, after white space, with `::`, and one that holds `##[` anywhere; lines end at `\r` and
//! `\n`. A child's line is kept from being either, and besides stands between `stop-commands` and a token
//! that the child cannot know.

use std::fs::OpenOptions;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::ci_log::{CiLog, Dialect, Section};
use super::run_model::{NodeView, RunModel};
use super::sanitize::{Colors, clean, without_colors};
use super::{Clock, Output, markdown};

/// Gives a new token at each call, which nothing that runs can foresee.
pub type Tokens = Box<dyn FnMut() -> String + Send>;

/// The reporter for GitHub Actions.
pub type GitHub = CiLog<GitHubDialect>;

impl GitHub {
    /// Writes to `out`, which the runner reads, and at the end appends the job summary to the file
    /// `summary` (`$GITHUB_STEP_SUMMARY`). `tokens` is [`random_token`] except in tests.
    #[must_use]
    pub fn new(
        out: Output,
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

/// A token of 128 bits. Its source is the operating system's randomness behind [`RandomState`]; a section
/// is written at once after its child has ended, so there is no time to guess it in.
#[must_use]
pub fn random_token() -> String {
    let part = || RandomState::new().build_hasher().finish();
    format!("isar-{:016x}{:016x}", part(), part())
}

/// How GitHub wants it.
pub struct GitHubDialect {
    summary: Option<PathBuf>,
    tokens: Tokens,
    token: String,
}

impl Dialect for GitHubDialect {
    fn name(&self) -> &'static str {
        "github"
    }

    fn neutral(&self, line: &str) -> String {
        neutral(line)
    }

    fn open(&mut self, section: &Section<'_>) -> String {
        self.token = (self.tokens)();
        format!(
            "::group::{}\n::stop-commands::{}\n",
            escape_data(&neutral(&section.title)),
            self.token
        )
    }

    fn close(&mut self, _section: &Section<'_>) -> String {
        format!("::{}::\n::endgroup::\n", self.token)
    }

    fn failed(&mut self, key: &str, node: &NodeView, why: &str, hint: Option<&str>) -> String {
        let title = format!("{key}: {} failed", node.step);
        annotation("error", &title, why, hint)
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

/// A cleaned line in which the runner sees no command.
#[must_use]
pub fn neutral(line: &str) -> String {
    let bare = without_colors(line);
    let opens = bare.trim_start().starts_with("::");
    if !opens && !bare.contains("##[") {
        return line.to_owned();
    }
    // Colours go from such a line: between its characters they could hide what is looked for here.
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

/// A command's message, as the runner reads it back.
#[must_use]
pub fn escape_data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A command's property, as the runner reads it back.
#[must_use]
pub fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}
