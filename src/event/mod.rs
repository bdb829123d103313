//! Events: every change of state of a run, owned and versioned.
//!
//! A run's record is its events, one JSON object a line; drawing the record again gives the same picture.
//! Steps emit events into an [`EventSink`]; the [`Hub`] numbers them and feeds every [`Reporter`]. Events
//! name steps and nodes by strings, so this room knows no plan and no step.

pub mod clock;
mod hub;
mod node_ref;
pub mod numbers;
pub mod outcome;
mod reporter;
mod sink;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::event::clock::Clock;
pub use crate::event::hub::{Hub, ReporterFailure};
pub use crate::event::node_ref::NodeRef;
pub use crate::event::reporter::Reporter;
pub use crate::event::sink::{EventSink, OUTPUT_BACKLOG};

use crate::event::outcome::{Outcome, RunOutcome};

/// The version of the event format.
pub const EVENT_VERSION: u32 = 1;

/// One change of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// [`EVENT_VERSION`].
    pub v: u32,
    /// The event's number within its run: 0, 1, 2 …, without gaps.
    pub seq: u64,
    /// RFC 3339 in UTC.
    pub time: Timestamp,
    /// The run's id.
    pub run: String,
    /// The kind, with the fields of that kind.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// A node as the `plan` event lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedNode {
    /// `step:machine/id`.
    pub id: String,
    /// The step's kind, as it stands in the id.
    pub step: String,
    /// The words for the step; absent in files of version 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<NodeWords>,
    /// `machine/id`.
    pub variant: String,
    /// Ids of the nodes that must succeed before this one starts.
    pub needs: Vec<String>,
    /// Ids of the nodes that must end before this one starts, with whatever outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// The words of a step for reporters, so that they need no list of steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeWords {
    /// The infinitive: `build`.
    pub verb: String,
    /// The past participle: `built`.
    pub past: String,
    /// The present participle: `building`.
    pub doing: String,
}

/// An output stream of a child process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How an artifact came to its present place: the method of the capture, registration or compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactOrigin {
    /// Captured by sharing the source's extents (reflink).
    Reflinked,
    /// Captured by copying its data, with holes kept.
    Copied,
    /// Captured without a copy: hashed in the deploy directory, and added to the store from there.
    InPlace,
    /// Registered, and new in the store.
    Added,
    /// Registered, and already valid in the store.
    AlreadyValid,
    /// A product (a compressed copy, a block map) made beside its artifact in the output directory.
    Made,
    /// A product kept from an earlier run.
    Kept,
}

/// A gate's verdict on an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// The artifact may be registered.
    Passed,
    /// The artifact must not be registered.
    Refused,
}

/// The kinds of events. `node` is a node id (`step:machine/id`), `variant` is `machine/id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The first event of a run.
    RunStarted {
        /// The tool's version.
        version: String,
        /// The command line, without the program's name.
        args: Vec<String>,
        /// The store in use: `nix` or `local`.
        store: String,
    },
    /// The work ahead.
    Plan {
        /// The nodes in plan order.
        nodes: Vec<PlannedNode>,
    },
    /// Every node that this one needs has succeeded.
    NodeReady {
        /// The node.
        node: String,
    },
    /// A node has started.
    NodeStarted {
        /// The node.
        node: String,
        /// The log with the node's whole output, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
    },
    /// Progress of a build, as BitBake counts tasks.
    Progress {
        /// The node.
        node: String,
        /// The number of the running task, from 1.
        done: u32,
        /// The number of all tasks.
        total: u32,
        /// The task, as `recipe:do_task`.
        task: String,
        /// Whether the task restores its result from the shared state cache.
        setscene: bool,
    },
    /// A line of a child's output.
    Output {
        /// The node.
        node: String,
        /// The stream.
        stream: OutputStream,
        /// The line without its end; invalid UTF-8 is replaced by U+FFFD.
        line: String,
    },
    /// Output lines left out of the events because reporters could not keep up. The log has them.
    OutputDropped {
        /// The node.
        node: String,
        /// The number of lines.
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
        /// The method.
        how: ArtifactOrigin,
    },
    /// A gate has judged an artifact.
    Gate {
        /// The node.
        node: String,
        /// The gate.
        name: String,
        /// The verdict.
        verdict: GateVerdict,
        /// The reason.
        why: String,
    },
    /// A node is skipped: it has nothing to do.
    Skip {
        /// The node.
        node: String,
        /// The unchanged input key.
        key: String,
        /// The reason.
        why: String,
    },
    /// A node has ended.
    NodeFinished {
        /// The node.
        node: String,
        /// The outcome.
        outcome: Outcome,
        /// Its duration in seconds.
        seconds: f64,
        /// The reason, if it did not succeed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// The remedy, if one is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A problem that stops nothing.
    Warning {
        /// The node concerned; none for the whole run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
        /// The text.
        message: String,
        /// The remedy, if one is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A detail, shown with `--verbose` alone.
    Note {
        /// The node concerned; none for the whole run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
        /// The text.
        message: String,
    },
    /// The last event of a run.
    RunFinished {
        /// The outcome of the run.
        outcome: RunOutcome,
        /// The exit code of the process.
        exit: u8,
        /// The duration of the run in seconds.
        seconds: f64,
    },
}

impl EventKind {
    /// The node concerned; none for events of the whole run.
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
