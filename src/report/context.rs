//! The situation of a run as far as reporters care: CI system, terminals, files. Pure.

use std::path::{Path, PathBuf};

use crate::event::Clock;

/// A CI system with a log format of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CiSystem {
    /// GitHub Actions, or a system that reads the same workflow commands.
    GitHub,
    /// GitLab CI.
    GitLab,
}

/// The situation of a run, from which reporters are chosen and made.
#[derive(Clone)]
pub struct ReportContext {
    /// The time for lines that appear without an event.
    pub clock: Clock,
    /// The CI system whose log standard output is.
    pub ci: Option<CiSystem>,
    /// Whether standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// Whether every output line of a child is shown.
    pub verbose: bool,
    /// Whether colour is written to standard output.
    pub stdout_color: bool,
    /// Whether colour is written to standard error.
    pub stderr_color: bool,
    /// Columns of the terminal behind standard output; none without a terminal.
    pub stdout_columns: Option<usize>,
    /// The run's own record; always written.
    pub record: PathBuf,
    /// A second record (`--events`); `-` is standard output.
    pub events: Option<PathBuf>,
    /// The file for GitHub's job summary.
    pub step_summary: Option<PathBuf>,
}

impl ReportContext {
    /// Whether standard output takes text for people: nothing else goes where the events go.
    #[must_use]
    pub fn stdout_is_free(&self) -> bool {
        self.events.as_deref() != Some(Path::new("-"))
    }

    /// The CI system whose log format standard output gets.
    #[must_use]
    pub fn ci_log(&self) -> Option<CiSystem> {
        self.ci.filter(|_| self.stdout_is_free())
    }

    /// Whether standard error gets a live display instead of lines.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.ci_log().is_none() && self.stderr_is_terminal && !self.verbose
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{REPORTERS, suitable};

    fn context() -> ReportContext {
        ReportContext {
            clock: crate::event::clock::system(),
            ci: None,
            stderr_is_terminal: false,
            verbose: false,
            stdout_color: false,
            stderr_color: false,
            stdout_columns: None,
            record: PathBuf::from("events.jsonl"),
            events: None,
            step_summary: None,
        }
    }

    fn names(context: &ReportContext) -> Vec<&'static str> {
        let entries = suitable(REPORTERS, context);
        entries.iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn one_reporter_draws_the_run_in_every_situation() {
        let mut context = context();
        assert_eq!(names(&context), ["record", "plain", "summary"]);

        context.stderr_is_terminal = true;
        assert_eq!(names(&context), ["record", "bars", "summary"]);

        context.verbose = true;
        assert_eq!(names(&context), ["record", "plain", "summary"]);

        context.ci = Some(CiSystem::GitHub);
        assert_eq!(names(&context), ["record", "github", "summary"]);

        context.ci = Some(CiSystem::GitLab);
        assert_eq!(names(&context), ["record", "gitlab", "summary"]);
    }

    #[test]
    fn events_on_standard_output_keep_every_other_reporter_off_it() {
        let mut context = context();
        context.ci = Some(CiSystem::GitHub);
        context.events = Some(PathBuf::from("-"));
        assert_eq!(names(&context), ["record", "events", "plain"]);

        context.events = Some(PathBuf::from("events.jsonl"));
        assert_eq!(names(&context), ["record", "events", "github", "summary"]);
    }

    #[test]
    fn reporter_names_are_unique() {
        let mut names: Vec<_> = REPORTERS.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();

        assert_eq!(names.len(), REPORTERS.len());
    }
}
