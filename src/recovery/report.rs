//! The report of a recovery: sentences about its findings and actions.

use std::fmt::Display;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveryLine {
    /// It was recovered, or would be in a dry run.
    Done(String),
    /// It needs no action, or only a build repairs it.
    Known(String),
    /// It could not be recovered.
    Failed {
        /// The finding and the reason.
        message: String,
        /// A remedy.
        hint: Option<String>,
    },
}

/// A verb in the past tense, and as intended by a dry run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verb(pub(super) &'static str, pub(super) &'static str);

pub(super) const REMOVE: Verb = Verb("removed", "would remove");

/// All findings, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    dry_run: bool,
    /// The findings.
    pub lines: Vec<RecoveryLine>,
}

impl RecoveryReport {
    pub(super) fn new(dry_run: bool) -> RecoveryReport {
        RecoveryReport {
            dry_run,
            lines: Vec::new(),
        }
    }

    /// Whether something could not be recovered.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.lines
            .iter()
            .any(|line| matches!(line, RecoveryLine::Failed { .. }))
    }

    /// Whether something was recovered, or would be.
    #[must_use]
    pub fn did_anything(&self) -> bool {
        self.lines
            .iter()
            .any(|line| matches!(line, RecoveryLine::Done(_)))
    }

    pub(super) fn done(&mut self, verb: Verb, what: impl Display) {
        let word = if self.dry_run { verb.1 } else { verb.0 };
        self.lines
            .push(RecoveryLine::Done(format!("{word} {what}")));
    }

    pub(super) fn known(&mut self, what: impl Into<String>) {
        self.lines.push(RecoveryLine::Known(what.into()));
    }

    pub(super) fn failed(&mut self, message: impl Display, hint: Option<String>) {
        self.lines.push(RecoveryLine::Failed {
            message: message.to_string(),
            hint,
        });
    }

    /// Does `work` except in a dry run, and reports the result.
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
