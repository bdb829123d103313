//! Step results: the outcome of a step, with a reason and a hint where it did not succeed.

use std::fmt::Display;

use crate::event::outcome::Outcome;
use crate::exec::BlockingError;

/// How a step ended. A failed step is a result, not an error of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    /// The outcome.
    pub outcome: Outcome,
    /// The reason, one sentence, where there is one to give.
    pub why: Option<String>,
    /// The remedy, as a command where there is one.
    pub hint: Option<String>,
}

impl StepResult {
    fn of(outcome: Outcome, why: Option<String>) -> StepResult {
        StepResult {
            outcome,
            why,
            hint: None,
        }
    }

    /// The step did its work.
    #[must_use]
    pub fn succeeded() -> StepResult {
        StepResult::of(Outcome::Succeeded, None)
    }

    /// The step failed.
    #[must_use]
    pub fn failed(why: impl Into<String>) -> StepResult {
        StepResult::of(Outcome::Failed, Some(why.into()))
    }

    /// The step failed with an error.
    #[must_use]
    pub fn error(error: &impl Display, hint: Option<String>) -> StepResult {
        StepResult::failed(error.to_string()).hint_if(hint)
    }

    /// A gate refused what the step worked on.
    #[must_use]
    pub fn refused(why: impl Into<String>) -> StepResult {
        StepResult::of(Outcome::Refused, Some(why.into()))
    }

    /// The step had nothing to do.
    #[must_use]
    pub fn skipped(why: &str) -> StepResult {
        StepResult::of(Outcome::Skipped, Some(why.to_owned()))
    }

    /// The step never started.
    #[must_use]
    pub fn not_run(why: &str) -> StepResult {
        StepResult::of(Outcome::NotRun, Some(why.to_owned()))
    }

    /// The step was stopped.
    #[must_use]
    pub fn cancelled() -> StepResult {
        StepResult::of(Outcome::Cancelled, None)
    }

    /// The same with a hint, where there is one.
    #[must_use]
    pub fn hint_if(mut self, hint: Option<String>) -> StepResult {
        self.hint = hint.or(self.hint);
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> StepResult {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the step did its work, or had none to do.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.outcome.lets_descendants_run()
    }
}

/// The result of a step whose failure is its early return.
impl From<Result<(), StepResult>> for StepResult {
    fn from(result: Result<(), StepResult>) -> StepResult {
        result.err().unwrap_or_else(StepResult::succeeded)
    }
}

impl From<BlockingError> for StepResult {
    fn from(error: BlockingError) -> StepResult {
        match error {
            BlockingError::Stopped => StepResult::cancelled(),
            BlockingError::Panicked(_) => StepResult::failed(error.to_string()),
        }
    }
}
