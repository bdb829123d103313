//! Outcomes of nodes and runs. A failed step is an outcome, not an error.

use serde::{Deserialize, Serialize};

/// The outcome of a node of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The step did its work.
    Succeeded,
    /// The step had nothing to do.
    Skipped,
    /// The step was tried and failed.
    Failed,
    /// A gate refused the result.
    Refused,
    /// The step was stopped before its end.
    Cancelled,
    /// The step never started, because a node that it needs did not succeed.
    NotRun,
}

impl Outcome {
    /// Whether the nodes that need this one may run.
    #[must_use]
    pub fn lets_descendants_run(self) -> bool {
        matches!(self, Outcome::Succeeded | Outcome::Skipped)
    }

    /// Whether the run as a whole counts as failed because of this node.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Outcome::Failed | Outcome::Refused)
    }

    /// The word for events and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Skipped => "skipped",
            Outcome::Failed => "failed",
            Outcome::Refused => "refused",
            Outcome::Cancelled => "cancelled",
            Outcome::NotRun => "not_run",
        }
    }
}

/// The outcome of a run; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every node succeeded or was skipped.
    Succeeded,
    /// At least one node failed or was refused.
    Failed,
    /// SIGINT stopped it.
    Interrupted,
    /// SIGTERM stopped it.
    Terminated,
}

impl RunOutcome {
    /// The process's exit code: 0, 10, 130 or 143.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            RunOutcome::Succeeded => 0,
            RunOutcome::Failed => 10,
            RunOutcome::Interrupted => 130,
            RunOutcome::Terminated => 143,
        }
    }
}
