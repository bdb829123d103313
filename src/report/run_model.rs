//! The state of a run, folded over its events. What every reporter that draws a picture shares.
//!
//! Pure: the same events give the same state, live or replayed. Takes what it is given: a node that the
//! plan did not name is added, so the record of a killed run can be drawn as well.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;

use super::human;
use crate::model::event::{Event, EventKind, How, variant_of};
use crate::model::outcome::{Outcome, RunOutcome};

/// How many of a node's last output lines are kept, for when it fails.
pub const TAIL: usize = 20;

/// A run so far.
#[derive(Debug, Clone, Default)]
pub struct RunModel {
    /// The run's id.
    pub run: String,
    /// The tool's version.
    pub version: String,
    /// The command line, without the program.
    pub args: Vec<String>,
    /// `nix` or `local`.
    pub store: String,
    /// When the first event was.
    pub started: Option<Timestamp>,
    /// When the last event was.
    pub now: Option<Timestamp>,
    /// The nodes, in plan order.
    pub nodes: Vec<NodeView>,
    /// The variants, in plan order.
    pub variants: Vec<VariantView>,
    /// What was warned of.
    pub warnings: Vec<WarningView>,
    /// How the run ended, once it has.
    pub end: Option<RunEnd>,
    node_places: HashMap<String, usize>,
    variant_places: HashMap<String, usize>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunEnd {
    /// How.
    pub outcome: RunOutcome,
    /// After how many seconds.
    pub seconds: f64,
}

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarningView {
    /// The variant that it is about, where there is one.
    pub variant: Option<String>,
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// It waits for another node or for a lane.
    Waiting,
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It has ended.
    Done {
        /// How.
        outcome: Outcome,
        /// After how many seconds.
        seconds: f64,
        /// The reason, where it did not succeed.
        why: Option<String>,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// How far a build is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The number of the task that runs.
    pub done: u32,
    /// Tasks in all.
    pub total: u32,
    /// The task.
    pub task: String,
    /// Whether it restores from the shared state cache.
    pub setscene: bool,
}

impl Progress {
    /// The part that is done, 0 to 100. A task that runs is not done.
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
    /// The step's word, as it stands in the id.
    pub step: String,
    /// The variant's place in [`RunModel::variants`].
    pub variant: usize,
    /// Where it stands.
    pub phase: Phase,
    /// When it started, where it has.
    pub started: Option<Timestamp>,
    /// The file with its whole output.
    pub log: Option<String>,
    /// How far it is.
    pub progress: Option<Progress>,
    /// Why it had nothing to do.
    pub skipped: Option<String>,
    /// Its last output lines as they came, blank ones left out.
    pub tail: VecDeque<String>,
}

impl NodeView {
    /// How it ended, once it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Done { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// How long it ran, where it ran and has ended.
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

    /// Since when it runs.
    #[must_use]
    pub fn running_since(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Running { since } => Some(since),
            _ => None,
        }
    }
}

/// An artifact, as the last event about it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactView {
    /// The unique name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its hash in Nix base32.
    pub nix32: String,
    /// The store path, once it is registered.
    pub store_path: Option<String>,
    /// How it came to where it is.
    pub how: How,
}

/// A variant.
#[derive(Debug, Clone, Default)]
pub struct VariantView {
    /// `machine/id`.
    pub key: String,
    /// The places of its nodes in [`RunModel::nodes`].
    pub nodes: Vec<usize>,
    /// Its artifacts in the order in which they were captured.
    pub artifacts: Vec<ArtifactView>,
    /// Output lines that were dropped.
    pub dropped: u64,
}

/// Where a variant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// All its steps are done.
    Done,
    /// All its steps had nothing to do.
    Unchanged,
    /// A step failed.
    Failed,
    /// A gate did not let it pass.
    Refused,
    /// It was stopped.
    Cancelled,
    /// It never started, and will not.
    NotRun,
    /// A step runs, or has run and the next will.
    Running,
    /// Nothing of it has started.
    Waiting,
}

impl Standing {
    /// Whether the variant is in no good state.
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Standing::Failed | Standing::Refused)
    }

    /// Whether nothing more will happen to it.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Standing::Running | Standing::Waiting)
    }
}

impl RunModel {
    /// Takes one event in.
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
                for node in nodes {
                    self.place(&node.id);
                }
            }
            EventKind::NodeReady { node } => {
                self.place(node);
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
                self.place(node);
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
                variant: node.as_deref().map(|node| variant_of(node).to_owned()),
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

    /// After the last event nothing waits or runs, whether or not each node's end was said.
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
        let place = self.place(id);
        &mut self.nodes[place]
    }

    fn place(&mut self, id: &str) -> usize {
        if let Some(&place) = self.node_places.get(id) {
            return place;
        }
        let place = self.nodes.len();
        let key = variant_of(id);
        let variant = match self.variant_places.get(key) {
            Some(&variant) => variant,
            None => {
                self.variants.push(VariantView {
                    key: key.to_owned(),
                    ..VariantView::default()
                });
                self.variant_places
                    .insert(key.to_owned(), self.variants.len() - 1);
                self.variants.len() - 1
            }
        };
        self.variants[variant].nodes.push(place);
        self.nodes.push(NodeView {
            id: id.to_owned(),
            step: id.split(':').next().unwrap_or(id).to_owned(),
            variant,
            phase: Phase::Waiting,
            started: None,
            log: None,
            progress: None,
            skipped: None,
            tail: VecDeque::new(),
        });
        self.node_places.insert(id.to_owned(), place);
        place
    }

    /// A node by its id.
    #[must_use]
    pub fn node(&self, id: &str) -> Option<&NodeView> {
        self.node_places.get(id).map(|&place| &self.nodes[place])
    }

    /// A variant's place in [`RunModel::variants`].
    #[must_use]
    pub fn variant_place(&self, key: &str) -> Option<usize> {
        self.variant_places.get(key).copied()
    }

    /// The nodes of a variant, in plan order.
    pub fn nodes_of<'a>(&'a self, variant: &'a VariantView) -> impl Iterator<Item = &'a NodeView> {
        variant.nodes.iter().map(|&place| &self.nodes[place])
    }

    /// The node of a variant that failed or was refused.
    #[must_use]
    pub fn culprit<'a>(&'a self, variant: &'a VariantView) -> Option<&'a NodeView> {
        self.nodes_of(variant)
            .find(|node| node.outcome().is_some_and(Outcome::is_failure))
    }

    /// Where a variant stands.
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

    /// The word for where a variant stands: `registered`, `failed`, `waiting`.
    #[must_use]
    pub fn word(&self, variant: &VariantView) -> &'static str {
        match self.standing(variant) {
            Standing::Done => self
                .nodes_of(variant)
                .last()
                .map_or("done", |node| past(&node.step)),
            Standing::Unchanged => "unchanged",
            Standing::Failed => "failed",
            Standing::Refused => "refused",
            Standing::Cancelled => "cancelled",
            Standing::NotRun => "not run",
            Standing::Running => "running",
            Standing::Waiting => "waiting",
        }
    }

    /// Seconds that a variant's steps took together.
    #[must_use]
    pub fn seconds(&self, variant: &VariantView) -> f64 {
        self.nodes_of(variant).filter_map(NodeView::seconds).sum()
    }

    /// The variants by standing and word: `9 registered, 1 failed`.
    #[must_use]
    pub fn tally(&self) -> Vec<(Standing, &'static str, usize)> {
        let mut tally: BTreeMap<(Standing, &'static str), usize> = BTreeMap::new();
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

    /// One line on the whole run: `10 variants: 9 registered, 1 failed in 4m 12s`.
    #[must_use]
    pub fn totals(&self) -> String {
        let parts: Vec<String> = self
            .tally()
            .into_iter()
            .map(|(_, word, count)| format!("{count} {word}"))
            .collect();
        let mut text = human::count(self.variants.len(), "variant");
        if !parts.is_empty() {
            text.push_str(": ");
            text.push_str(&parts.join(", "));
        }
        text.push_str(" in ");
        text.push_str(&human::duration(self.elapsed()));
        if !self.warnings.is_empty() {
            text.push_str(&format!(
                " ({})",
                human::count(self.warnings.len(), "warning")
            ));
        }
        text
    }

    /// Seconds from the first event to the end, or to the last event where there was no end.
    #[must_use]
    pub fn elapsed(&self) -> f64 {
        match (self.end, self.started, self.now) {
            (Some(end), _, _) => end.seconds,
            (None, Some(started), Some(now)) => seconds_between(started, now),
            _ => 0.0,
        }
    }

    /// Columns that the longest variant name takes, at most 40.
    #[must_use]
    pub fn key_width(&self) -> usize {
        self.variants
            .iter()
            .map(|variant| super::sanitize::width(&variant.key))
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

/// The word for a step that is done.
#[must_use]
pub fn past(step: &str) -> &'static str {
    match step {
        "build" => "built",
        "capture" => "captured",
        "compress" => "compressed",
        "register" => "registered",
        _ => "done",
    }
}
