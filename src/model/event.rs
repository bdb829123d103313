//! Events: every change of state of a run, owned and versioned. The JSON-lines file of them is the
//! record of a run; replaying it through a reporter gives the same picture.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, RunOutcome};
use super::plan::StepKind;

/// The version of the event format.
pub const EVENT_VERSION: u32 = 1;

/// One change of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// [`EVENT_VERSION`].
    pub v: u32,
    /// Counts from 0 within a run, without gaps.
    pub seq: u64,
    /// When, RFC 3339 in UTC.
    pub time: Timestamp,
    /// The run.
    pub run: String,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// A node as the `plan` event lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedNode {
    /// `step:machine/id`.
    pub id: String,
    /// The step.
    pub step: StepKind,
    /// `machine/id`.
    pub variant: String,
    /// Node ids.
    pub needs: Vec<String>,
    /// Ids of nodes that must have ended before, however they ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// From which of its output streams a child's line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How an artifact came to where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Captured by sharing the source's extents.
    Reflinked,
    /// Captured by copying its data; holes were kept.
    Copied,
    /// Captured from where it lies: hashed, and added to the store from there.
    InPlace,
    /// Registered: the store did not have it before.
    Added,
    /// Registered: the store had it already.
    AlreadyValid,
    /// Made of a registered artifact, beside it in the output directory.
    Made,
    /// The same, and it was there already.
    Kept,
}

/// A gate's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may be registered.
    Passed,
    /// It may not.
    Refused,
}

/// What happened. `node` is a node id (`step:machine/id`), `variant` is `machine/id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The first event of a run.
    RunStarted {
        /// The tool's version.
        version: String,
        /// The command line, without the program.
        args: Vec<String>,
        /// Which store is used: `nix` or `local`.
        store: String,
    },
    /// What will be done.
    Plan {
        /// The nodes in plan order.
        nodes: Vec<PlannedNode>,
    },
    /// All that a node needs has ended well.
    NodeReady {
        /// The node.
        node: String,
    },
    /// A node runs.
    NodeStarted {
        /// The node.
        node: String,
        /// The file with its whole output, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
    },
    /// How far a build is, in BitBake's own count.
    Progress {
        /// The node.
        node: String,
        /// The number of the task that runs.
        done: u32,
        /// Tasks in all.
        total: u32,
        /// The task, as `recipe:do_task`.
        task: String,
        /// Whether it restores from the shared state cache.
        setscene: bool,
    },
    /// A line that a child wrote.
    Output {
        /// The node.
        node: String,
        /// The stream.
        stream: Stream,
        /// The line without its end; bytes that are not UTF-8 are replaced.
        line: String,
    },
    /// Lines that were not made events because reporters could not keep up. The log file has them.
    OutputDropped {
        /// The node.
        node: String,
        /// How many.
        lines: u64,
    },
    /// An artifact was captured or registered.
    Artifact {
        /// The node.
        node: String,
        /// The variant.
        variant: String,
        /// The artifact type.
        #[serde(rename = "type")]
        artifact_type: String,
        /// The unique name.
        name: String,
        /// Its apparent size in bytes.
        bytes: u64,
        /// SHA-256 of its bytes, 64 hexadecimal characters.
        sha256: String,
        /// The same hash in Nix base32, 52 characters.
        nix32: String,
        /// The store path, once it is registered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        store_path: Option<String>,
        /// By which way.
        how: How,
    },
    /// A gate has spoken.
    Gate {
        /// The node.
        node: String,
        /// The gate.
        name: String,
        /// Its answer.
        verdict: Verdict,
        /// The reason.
        why: String,
    },
    /// A node has nothing to do.
    Skip {
        /// The node.
        node: String,
        /// The input key that is unchanged.
        key: String,
        /// The reason.
        why: String,
    },
    /// A node has ended.
    NodeFinished {
        /// The node.
        node: String,
        /// How.
        outcome: Outcome,
        /// After how many seconds.
        seconds: f64,
        /// The reason, where it did not succeed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// What to do about it, where we know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// Something that a person should know and that stops nothing.
    Warning {
        /// The node that it is about, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
        /// What.
        message: String,
        /// What to do about it, where we know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// Something that only those want to know who look closely (`--verbose`).
    Note {
        /// The node that it is about, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
        /// What.
        message: String,
    },
    /// The last event of a run.
    RunFinished {
        /// How it ended.
        outcome: RunOutcome,
        /// The exit code of the process.
        exit: u8,
        /// How long it took.
        seconds: f64,
    },
}

impl EventKind {
    /// The node that this is about, where there is one.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match self {
            EventKind::NodeReady { node }
            | EventKind::NodeStarted { node, .. }
            | EventKind::Progress { node, .. }
            | EventKind::Output { node, .. }
            | EventKind::OutputDropped { node, .. }
            | EventKind::Artifact { node, .. }
            | EventKind::Gate { node, .. }
            | EventKind::Skip { node, .. }
            | EventKind::NodeFinished { node, .. } => Some(node),
            EventKind::Warning { node, .. } | EventKind::Note { node, .. } => node.as_deref(),
            EventKind::RunStarted { .. }
            | EventKind::Plan { .. }
            | EventKind::RunFinished { .. } => None,
        }
    }
}

/// The variant part of a node id (`step:machine/id` gives `machine/id`).
#[must_use]
pub fn variant_of(node: &str) -> &str {
    node.split_once(':').map_or(node, |(_, variant)| variant)
}
