//! How a step ended. A failed step is an outcome, not an error.

use serde::{Deserialize, Serialize};

/// How a node of the plan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it is for.
    Succeeded,
    /// There was nothing to do.
    Skipped,
    /// It was tried and did not work.
    Failed,
    /// A gate did not let it pass.
    Refused,
    /// It was stopped before its end.
    Cancelled,
    /// Something that it needs did not succeed, so it never started.
    NotRun,
}

impl Outcome {
    /// Whether what needs this node may run.
    #[must_use]
    pub fn lets_descendants_run(self) -> bool {
        matches!(self, Outcome::Succeeded | Outcome::Skipped)
    }

    /// Whether the run as a whole counts as failed because of this node.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Outcome::Failed | Outcome::Refused)
    }

    /// The word as it stands in events and tables.
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

/// Why a run ended as it did; decides the exit code.
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
