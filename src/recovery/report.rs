//! What recovery found and did, as sentences. Knows nothing of where they are shown.

use std::fmt::Display;

/// One thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// It was put in order, or would be.
    Done(String),
    /// Something to know; nothing needs to be done, or only a build mends it.
    Known(String),
    /// It could not be put in order.
    Failed {
        /// What, and why not.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// A verb, as done and as intended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verb(pub(super) &'static str, pub(super) &'static str);

pub(super) const REMOVE: Verb = Verb("removed", "would remove");

/// All of it, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    dry_run: bool,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Report {
    pub(super) fn new(dry_run: bool) -> Report {
        Report {
            dry_run,
            lines: Vec::new(),
        }
    }

    /// Whether something could not be put in order.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.lines
            .iter()
            .any(|line| matches!(line, Line::Failed { .. }))
    }

    /// Whether anything was, or would be, put in order.
    #[must_use]
    pub fn did_anything(&self) -> bool {
        self.lines.iter().any(|line| matches!(line, Line::Done(_)))
    }

    pub(super) fn done(&mut self, verb: Verb, what: impl Display) {
        let word = if self.dry_run { verb.1 } else { verb.0 };
        self.lines.push(Line::Done(format!("{word} {what}")));
    }

    pub(super) fn known(&mut self, what: impl Into<String>) {
        self.lines.push(Line::Known(what.into()));
    }

    pub(super) fn failed(&mut self, message: impl Display, hint: Option<String>) {
        self.lines.push(Line::Failed {
            message: message.to_string(),
            hint,
        });
    }

    /// Does it, unless only what would be done is asked for, and says so.
    pub(super) fn attempt<E: Display>(
        &mut self,
        verb: Verb,
        what: impl Display,
        work: impl FnOnce() -> Result<(), E>,
    ) {
        if self.dry_run {
            self.done(verb, what);
            return;
        }
        match work() {
            Ok(()) => self.done(verb, what),
            Err(error) => self.failed(error, None),
        }
    }
}
