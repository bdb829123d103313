//! The state of a run, folded over its events; shared by all reporters that draw a picture.
//!
//! Pure: the same events give the same state, live or replayed. A node that the plan did not name is added,
//! so that an incomplete record can be drawn as well.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;

use crate::event::numbers;
use crate::event::outcome::{Outcome, RunOutcome};
use crate::event::{ArtifactOrigin, Event, EventKind, NodeRef, NodeWords};

/// The number of a node's last output lines that are kept, to be shown if it fails.
pub const TAIL: usize = 20;

/// The reason of a failure that came without one.
pub(super) const NO_REASON: &str = "no reason was given";

/// A run so far.
#[derive(Debug, Clone, Default)]
pub struct RunModel {
    /// The run's id.
    pub run: String,
    /// The tool's version.
    pub version: String,
    /// The command line, without the program's name.
    pub args: Vec<String>,
    /// `nix` or `local`.
    pub store: String,
    /// The time of the first event.
    pub started: Option<Timestamp>,
    /// The time of the last event.
    pub now: Option<Timestamp>,
    /// The nodes, in plan order.
    pub nodes: Vec<NodeView>,
    /// The variants, in plan order.
    pub variants: Vec<VariantView>,
    /// The warnings, in order.
    pub warnings: Vec<WarningView>,
    /// The end of the run, once it has ended.
    pub end: Option<RunEnd>,
    node_indexes: HashMap<String, usize>,
    variant_indexes: HashMap<String, usize>,
}

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunEnd {
    /// Its outcome.
    pub outcome: RunOutcome,
    /// Its duration in seconds.
    pub seconds: f64,
}

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarningView {
    /// The variant concerned; none for the whole run.
    pub variant: Option<String>,
    /// The text.
    pub message: String,
    /// The remedy, if one is known.
    pub hint: Option<String>,
}

/// The phase of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Waiting for another node or for a lane.
    Waiting,
    /// Running.
    Running {
        /// Its start.
        since: Timestamp,
    },
    /// Ended.
    Done {
        /// Its outcome.
        outcome: Outcome,
        /// Its duration in seconds.
        seconds: f64,
        /// The reason, if it did not succeed.
        why: Option<String>,
        /// The remedy, if one is known.
        hint: Option<String>,
    },
}

/// The progress of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The number of the running task, from 1.
    pub done: u32,
    /// The number of all tasks.
    pub total: u32,
    /// The running task, as `recipe:do_task`.
    pub task: String,
    /// Whether the task restores its result from the shared state cache.
    pub setscene: bool,
}

impl Progress {
    /// The finished part in percent, 0 to 100. The running task is not finished.
    #[must_use]
    pub fn percent(&self) -> u32 {
        let finished = u64::from(self.done.saturating_sub(1));
        let total = u64::from(self.total.max(1));
        u32::try_from((finished * 100 / total).min(100)).unwrap_or(100)
    }
}

/// A node.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// `step:machine/id`.
    pub id: String,
    /// The step's kind, as it stands in the id.
    pub step: String,
    /// The words for the step; none in records without them.
    pub words: Option<NodeWords>,
    /// The variant's index in [`RunModel::variants`].
    pub variant: usize,
    /// Its phase.
    pub phase: Phase,
    /// Its start, once it has started.
    pub started: Option<Timestamp>,
    /// The log with its whole output.
    pub log: Option<String>,
    /// Its progress, once it has reported any.
    pub progress: Option<Progress>,
    /// The reason for which it is skipped.
    pub skipped: Option<String>,
    /// Its last output lines, not cleaned, without blank ones.
    pub tail: VecDeque<String>,
}

impl NodeView {
    /// The verb for the step: `build`.
    #[must_use]
    pub fn verb(&self) -> &str {
        self.words.as_ref().map_or(&self.step, |words| &words.verb)
    }

    /// The participle for a variant that ended with this step: `built`.
    #[must_use]
    pub fn past(&self) -> &str {
        self.words.as_ref().map_or("done", |words| &words.past)
    }

    /// The participle for a variant while the step runs: `building`.
    #[must_use]
    pub fn doing(&self) -> &str {
        self.words.as_ref().map_or("running", |words| &words.doing)
    }

    /// Its outcome, once it has ended.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Done { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// Its duration in seconds; none if it never ran, or has not ended.
    #[must_use]
    pub fn seconds(&self) -> Option<f64> {
        match self.phase {
            Phase::Done {
                outcome: Outcome::NotRun | Outcome::Skipped,
                ..
            } => None,
            Phase::Done { seconds, .. } => Some(seconds),
            _ => None,
        }
    }

    /// Its start, if it is running.
    #[must_use]
    pub fn running_since(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Running { since } => Some(since),
            _ => None,
        }
    }
}

/// An artifact, as of the last event about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactView {
    /// The unique name.
    pub name: String,
    /// Its apparent size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in Nix base32, 52 characters.
    pub nix32: String,
    /// The store path, once it is registered.
    pub store_path: Option<String>,
    /// The method of its last capture or registration.
    pub how: ArtifactOrigin,
}

/// A variant.
#[derive(Debug, Clone, Default)]
pub struct VariantView {
    /// `machine/id`.
    pub key: String,
    /// The indexes of its nodes in [`RunModel::nodes`].
    pub nodes: Vec<usize>,
    /// Its artifacts, in the order of their capture.
    pub artifacts: Vec<ArtifactView>,
    /// The number of dropped output lines.
    pub dropped: u64,
}

/// The standing of a variant, summed up over its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// Every step has succeeded or was skipped.
    Done,
    /// Every step was skipped.
    Unchanged,
    /// A step failed.
    Failed,
    /// A gate refused an artifact.
    Refused,
    /// A step was cancelled.
    Cancelled,
    /// A step never started and will not.
    NotRun,
    /// A step is running, or the next one is about to start.
    Running,
    /// No step has started.
    Waiting,
}

impl Standing {
    /// Whether a step failed or was refused.
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Standing::Failed | Standing::Refused)
    }

    /// Whether no further step will run.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Standing::Running | Standing::Waiting)
    }
}

impl RunModel {
    /// Folds one event into the state.
    pub fn fold(&mut self, event: &Event) {
        self.started.get_or_insert(event.time);
        self.now = Some(event.time);
        if self.run.is_empty() {
            self.run.clone_from(&event.run);
        }
        match &event.kind {
            EventKind::RunStarted {
                version,
                args,
                store,
            } => {
                self.version.clone_from(version);
                self.args.clone_from(args);
                self.store.clone_from(store);
            }
            EventKind::Plan { nodes } => {
                for planned in nodes {
                    let node = self.node_mut(&planned.id);
                    node.words.clone_from(&planned.words);
                }
            }
            EventKind::NodeReady { node } => {
                self.node_index(node);
            }
            EventKind::NodeStarted { node, log } => {
                let node = self.node_mut(node);
                node.phase = Phase::Running { since: event.time };
                node.started = Some(event.time);
                node.log.clone_from(log);
            }
            EventKind::Progress {
                node,
                done,
                total,
                task,
                setscene,
            } => {
                self.node_mut(node).progress = Some(Progress {
                    done: *done,
                    total: *total,
                    task: task.clone(),
                    setscene: *setscene,
                });
            }
            EventKind::Output { node, line, .. } => self.keep_line(node, line),
            EventKind::OutputDropped { node, lines } => {
                let variant = self.node_mut(node).variant;
                self.variants[variant].dropped += lines;
            }
            EventKind::Artifact {
                node,
                name,
                bytes,
                nix32,
                store_path,
                how,
                ..
            } => {
                let artifact = ArtifactView {
                    name: name.clone(),
                    bytes: *bytes,
                    nix32: nix32.clone(),
                    store_path: store_path.clone(),
                    how: *how,
                };
                let variant = self.node_mut(node).variant;
                let artifacts = &mut self.variants[variant].artifacts;
                match artifacts.iter_mut().find(|known| known.name == *name) {
                    Some(known) => *known = artifact,
                    None => artifacts.push(artifact),
                }
            }
            EventKind::Gate { node, .. } => {
                self.node_index(node);
            }
            EventKind::Skip { node, why, .. } => self.node_mut(node).skipped = Some(why.clone()),
            EventKind::NodeFinished {
                node,
                outcome,
                seconds,
                why,
                hint,
            } => {
                self.node_mut(node).phase = Phase::Done {
                    outcome: *outcome,
                    seconds: *seconds,
                    why: why.clone(),
                    hint: hint.clone(),
                };
            }
            EventKind::Warning {
                node,
                message,
                hint,
            } => self.warnings.push(WarningView {
                variant: node
                    .as_deref()
                    .map(|node| NodeRef::of(node).variant.to_owned()),
                message: message.clone(),
                hint: hint.clone(),
            }),
            EventKind::Note { .. } => {}
            EventKind::RunFinished {
                outcome, seconds, ..
            } => {
                self.end = Some(RunEnd {
                    outcome: *outcome,
                    seconds: *seconds,
                });
                self.settle(event.time);
            }
        }
    }

    /// Ends every node that has no end: after the last event nothing waits or runs.
    fn settle(&mut self, now: Timestamp) {
        for node in &mut self.nodes {
            let (outcome, seconds) = match node.phase {
                Phase::Waiting => (Outcome::NotRun, 0.0),
                Phase::Running { since } => (Outcome::Cancelled, seconds_between(since, now)),
                Phase::Done { .. } => continue,
            };
            node.phase = Phase::Done {
                outcome,
                seconds,
                why: None,
                hint: None,
            };
        }
    }

    fn keep_line(&mut self, node: &str, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        let tail = &mut self.node_mut(node).tail;
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line.to_owned());
    }

    fn node_mut(&mut self, id: &str) -> &mut NodeView {
        let index = self.node_index(id);
        &mut self.nodes[index]
    }

    /// The index of a node, which is added with its variant if it is new.
    fn node_index(&mut self, id: &str) -> usize {
        if let Some(&index) = self.node_indexes.get(id) {
            return index;
        }
        let NodeRef { step, variant: key } = NodeRef::of(id);
        let variant = match self.variant_indexes.get(key) {
            Some(&variant) => variant,
            None => {
                self.variants.push(VariantView {
                    key: key.to_owned(),
                    ..VariantView::default()
                });
                self.variant_indexes
                    .insert(key.to_owned(), self.variants.len() - 1);
                self.variants.len() - 1
            }
        };
        let index = self.nodes.len();
        self.variants[variant].nodes.push(index);
        self.nodes.push(NodeView {
            id: id.to_owned(),
            step: step.to_owned(),
            words: None,
            variant,
            phase: Phase::Waiting,
            started: None,
            log: None,
            progress: None,
            skipped: None,
            tail: VecDeque::new(),
        });
        self.node_indexes.insert(id.to_owned(), index);
        index
    }

    /// A node by its id.
    #[must_use]
    pub fn node(&self, id: &str) -> Option<&NodeView> {
        self.node_indexes.get(id).map(|&index| &self.nodes[index])
    }

    /// A variant's index in [`RunModel::variants`].
    #[must_use]
    pub fn variant_index(&self, key: &str) -> Option<usize> {
        self.variant_indexes.get(key).copied()
    }

    /// The nodes of a variant, in plan order.
    pub fn nodes_of<'a>(&'a self, variant: &'a VariantView) -> impl Iterator<Item = &'a NodeView> {
        variant.nodes.iter().map(|&index| &self.nodes[index])
    }

    /// The first node of a variant that failed or was refused.
    #[must_use]
    pub fn culprit<'a>(&'a self, variant: &'a VariantView) -> Option<&'a NodeView> {
        self.nodes_of(variant)
            .find(|node| node.outcome().is_some_and(Outcome::is_failure))
    }

    /// The standing of a variant.
    #[must_use]
    pub fn standing(&self, variant: &VariantView) -> Standing {
        let any = |wanted: &[Outcome]| {
            self.nodes_of(variant).any(|node| {
                node.outcome()
                    .is_some_and(|outcome| wanted.contains(&outcome))
            })
        };
        let all = |test: &dyn Fn(&NodeView) -> bool| self.nodes_of(variant).all(test);
        let is_over = all(&|node| node.outcome().is_some());
        if any(&[Outcome::Failed]) {
            Standing::Failed
        } else if any(&[Outcome::Refused]) {
            Standing::Refused
        } else if any(&[Outcome::Cancelled]) {
            Standing::Cancelled
        } else if any(&[Outcome::NotRun]) {
            Standing::NotRun
        } else if is_over && all(&|node| node.outcome() == Some(Outcome::Skipped)) {
            Standing::Unchanged
        } else if is_over {
            Standing::Done
        } else if all(&|node| node.phase == Phase::Waiting) {
            Standing::Waiting
        } else {
            Standing::Running
        }
    }

    /// Whether every node of a variant has ended.
    #[must_use]
    pub fn is_over(&self, variant: &VariantView) -> bool {
        self.nodes_of(variant).all(|node| node.outcome().is_some())
    }

    /// The word for the standing of a variant: `registered`, `failed`, `waiting`.
    #[must_use]
    pub fn word<'a>(&'a self, variant: &'a VariantView) -> &'a str {
        match self.standing(variant) {
            Standing::Done => self.nodes_of(variant).last().map_or("done", NodeView::past),
            Standing::Unchanged => "unchanged",
            Standing::Failed => "failed",
            Standing::Refused => "refused",
            Standing::Cancelled => "cancelled",
            Standing::NotRun => "not run",
            Standing::Running => "running",
            Standing::Waiting => "waiting",
        }
    }

    /// The sum of the durations of a variant's steps, in seconds.
    #[must_use]
    pub fn seconds(&self, variant: &VariantView) -> f64 {
        self.nodes_of(variant).filter_map(NodeView::seconds).sum()
    }

    /// The number of variants by standing and word: `9 registered, 1 failed`.
    #[must_use]
    pub fn tally(&self) -> Vec<(Standing, &str, usize)> {
        let mut tally: BTreeMap<(Standing, &str), usize> = BTreeMap::new();
        for variant in &self.variants {
            *tally
                .entry((self.standing(variant), self.word(variant)))
                .or_default() += 1;
        }
        tally
            .into_iter()
            .map(|((standing, word), count)| (standing, word, count))
            .collect()
    }

    /// One line about the whole run: `10 variants: 9 registered, 1 failed in 4m 12s`.
    #[must_use]
    pub fn totals(&self) -> String {
        let parts: Vec<String> = self
            .tally()
            .into_iter()
            .map(|(_, word, count)| format!("{count} {word}"))
            .collect();
        let mut text = numbers::count(self.variants.len(), "variant");
        if !parts.is_empty() {
            text.push_str(": ");
            text.push_str(&parts.join(", "));
        }
        text.push_str(" in ");
        text.push_str(&numbers::duration(self.elapsed()));
        if !self.warnings.is_empty() {
            text.push_str(&format!(
                " ({})",
                numbers::count(self.warnings.len(), "warning")
            ));
        }
        text
    }

    /// Seconds from the first event to the end of the run, or to the last event before that.
    #[must_use]
    pub fn elapsed(&self) -> f64 {
        match (self.end, self.started, self.now) {
            (Some(end), _, _) => end.seconds,
            (None, Some(started), Some(now)) => seconds_between(started, now),
            _ => 0.0,
        }
    }

    /// The columns of the longest variant name, at most 40.
    #[must_use]
    pub fn key_width(&self) -> usize {
        self.variants
            .iter()
            .map(|variant| crate::report::sanitize::width(&variant.key))
            .max()
            .unwrap_or(0)
            .min(40)
    }
}

/// Seconds from one time to a later one.
#[must_use]
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
