//! The lines that tell a run: which change of state is worth a line, and its words. Shared by every
//! reporter that writes lines, so that a terminal, a file and a CI log say the same.
//!
//! Knows nothing of where lines go. Every text that came from outside is cleaned here.

use std::collections::HashMap;

use jiff::Timestamp;

use super::human;
use super::paint::{Paint, Tone};
use super::run_model::{NodeView, Phase, Progress, RunModel, past, seconds_between};
use super::sanitize::{Colors, clean, fit, pad};
use crate::model::event::{Event, EventKind, How, Verdict, variant_of};
use crate::model::outcome::{Outcome, RunOutcome};

/// Seconds after which a build that goes on says how far it is, percent or not.
const SPARSE: f64 = 30.0;
/// Seconds of silence after which a running node says that it is still there.
const SILENCE: f64 = 60.0;
/// Columns of each of the last lines of a failed node; the log has them whole.
const EVIDENCE: usize = 400;

/// One line: whom it is about, what it means, what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLine {
    /// The variant, `machine/id`; none where it is about the run.
    pub variant: Option<String>,
    /// What it means.
    pub tone: Tone,
    /// Cleaned text.
    pub text: String,
}

impl StateLine {
    /// The line as it is written: the variant padded to `key_width`, then the text.
    #[must_use]
    pub fn render(&self, key_width: usize, paint: Paint) -> String {
        let text = paint.tone(self.tone, &self.text);
        match &self.variant {
            Some(key) => {
                let key = clean(key, Colors::Drop);
                // A name longer than the column is written whole: lines are searched for it.
                let padded = if super::sanitize::width(&key) > key_width {
                    key
                } else {
                    pad(&key, key_width)
                };
                format!("{}  {text}", paint.bold(&padded))
            }
            None => text,
        }
    }
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Ends, warnings and failures: for a display that shows what runs by itself and is followed by
    /// the table of artifacts.
    Ends,
    /// Starts and milestones too.
    Steps,
    /// Every output line too.
    Everything,
}

/// Turns events into lines; remembers what it told last of each running node.
#[derive(Debug)]
pub struct Narrator {
    detail: Detail,
    colors: Colors,
    told: HashMap<String, Told>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    at: Timestamp,
    setscene: bool,
    tenth: u32,
}

impl Narrator {
    /// A narrator; `paint` says whether colours in a child's lines are kept.
    #[must_use]
    pub fn new(detail: Detail, paint: Paint) -> Narrator {
        Narrator {
            detail,
            colors: if paint.color {
                Colors::Keep
            } else {
                Colors::Drop
            },
            told: HashMap::new(),
        }
    }

    /// The lines for an event that `model` has just taken in.
    pub fn tell(&mut self, model: &RunModel, event: &Event) -> Vec<StateLine> {
        let mut lines = Vec::new();
        let steps = self.detail != Detail::Ends;
        match &event.kind {
            EventKind::RunStarted { version, store, .. } if steps => lines.push(about_run(
                Tone::Quiet,
                format!("isar-build-all {version}, run {}, store {store}", event.run),
            )),
            EventKind::Plan { nodes } if steps => lines.push(about_run(
                Tone::Quiet,
                format!(
                    "{}, {}",
                    human::count(model.variants.len(), "variant"),
                    human::count(nodes.len(), "step")
                ),
            )),
            EventKind::NodeStarted { node, log } => {
                self.told.insert(node.clone(), Told::now(event.time));
                if steps {
                    let mut text = format!("{} started", step_of(node));
                    if let Some(log) = log {
                        text.push_str(&format!(", log {log}"));
                    }
                    lines.push(about(node, Tone::Normal, &text));
                }
            }
            EventKind::Progress { node, .. } if steps => {
                lines.extend(self.milestone(model, node, event.time));
            }
            EventKind::Output { node, line, .. } if self.detail == Detail::Everything => {
                lines.push(self.child(node, line));
            }
            // Where output is not shown, it is no news that some of it is not.
            EventKind::OutputDropped { node, lines: count }
                if self.detail == Detail::Everything =>
            {
                lines.push(about(
                    node,
                    Tone::Quiet,
                    &format!("{count} output lines were not shown; the log has them"),
                ));
            }
            EventKind::Artifact { .. } if steps => lines.extend(artifact(&event.kind)),
            EventKind::Gate {
                node,
                name,
                verdict,
                why,
            } => match verdict {
                Verdict::Refused => {
                    lines.push(about(
                        node,
                        Tone::Bad,
                        &format!("gate {name} refused: {why}"),
                    ));
                }
                Verdict::Passed if steps => {
                    lines.push(about(
                        node,
                        Tone::Quiet,
                        &format!("gate {name} passed: {why}"),
                    ));
                }
                Verdict::Passed => {}
            },
            EventKind::Skip { node, why, .. } if steps => {
                lines.push(about(
                    node,
                    Tone::Quiet,
                    &format!("{} skipped: {why}", step_of(node)),
                ));
            }
            EventKind::NodeFinished { node, .. } => {
                self.told.remove(node);
                lines.extend(self.node_end(model, node));
            }
            EventKind::Warning {
                node,
                message,
                hint,
            } => {
                let variant = node.as_deref().map(variant_of);
                lines.extend(block(variant, Tone::Warn, "warning: ", message));
                lines.extend(hint_lines(variant, hint.as_deref()));
            }
            EventKind::Note { node, message } if self.detail == Detail::Everything => {
                let variant = node.as_deref().map(variant_of);
                lines.extend(block(variant, Tone::Quiet, "note: ", message));
            }
            // A display with moving lines is followed by the summary, which says it.
            EventKind::RunFinished { outcome, .. } if steps => {
                let (tone, head) = match outcome {
                    RunOutcome::Succeeded => (Tone::Good, ""),
                    RunOutcome::Failed => (Tone::Bad, ""),
                    RunOutcome::Interrupted => (Tone::Warn, "interrupted; "),
                    RunOutcome::Terminated => (Tone::Warn, "terminated; "),
                };
                lines.push(about_run(tone, format!("{head}{}", model.totals())));
            }
            _ => {}
        }
        lines
    }

    /// Lines for nodes that have been silent for a minute, so that a long task does not look hung.
    pub fn heartbeat(&mut self, model: &RunModel, now: Timestamp) -> Vec<StateLine> {
        if self.detail == Detail::Ends {
            return Vec::new();
        }
        let mut lines = Vec::new();
        for node in &model.nodes {
            let Some(since) = node.running_since() else {
                continue;
            };
            let Some(told) = self.told.get_mut(&node.id) else {
                continue;
            };
            if seconds_between(told.at, now) < SILENCE {
                continue;
            }
            told.at = now;
            let elapsed = human::duration(seconds_between(since, now));
            let text = match &node.progress {
                Some(progress) => format!(
                    "{} goes on after {elapsed}, {}",
                    node.step,
                    task_text(progress)
                ),
                None => format!("{} goes on after {elapsed}", node.step),
            };
            lines.push(about(&node.id, Tone::Quiet, &text));
        }
        lines
    }

    fn milestone(&mut self, model: &RunModel, id: &str, now: Timestamp) -> Option<StateLine> {
        let node = model.node(id)?;
        let progress = node.progress.as_ref()?;
        let tenth = progress.percent() / 10;
        let told = self
            .told
            .entry(id.to_owned())
            .or_insert_with(|| Told::now(now));
        let is_new_count = told.setscene != progress.setscene;
        let is_further = tenth > told.tenth;
        let is_late = seconds_between(told.at, now) >= SPARSE;
        if !(is_new_count || is_further || is_late) {
            return None;
        }
        *told = Told {
            at: now,
            setscene: progress.setscene,
            tenth,
        };
        let text = if progress.setscene {
            format!("{} restores {}", node.step, task_text(progress))
        } else {
            format!(
                "{} {} %, {}",
                node.step,
                progress.percent(),
                task_text(progress)
            )
        };
        Some(about(id, Tone::Quiet, &text))
    }

    fn child(&self, node: &str, line: &str) -> StateLine {
        StateLine {
            variant: Some(variant_of(node).to_owned()),
            tone: Tone::Child,
            text: format!("| {}", clean(line, self.colors)),
        }
    }

    fn node_end(&self, model: &RunModel, id: &str) -> Vec<StateLine> {
        let Some(node) = model.node(id) else {
            return Vec::new();
        };
        let Phase::Done {
            outcome,
            seconds,
            why,
            hint,
        } = &node.phase
        else {
            return Vec::new();
        };
        let variant = &model.variants[node.variant];
        let step = &node.step;
        let time = human::duration(*seconds);
        let why = why.as_deref();
        match outcome {
            Outcome::Succeeded if model.is_over(variant) => vec![about(
                id,
                Tone::Good,
                &format!(
                    "{} in {}",
                    past(step),
                    human::duration(model.seconds(variant))
                ),
            )],
            Outcome::Succeeded if self.detail == Detail::Ends => Vec::new(),
            Outcome::Succeeded => vec![about(id, Tone::Normal, &format!("{step} done in {time}"))],
            Outcome::Skipped if model.is_over(variant) => {
                let text = why.or(node.skipped.as_deref()).unwrap_or("nothing to do");
                vec![about(
                    id,
                    Tone::Good,
                    &format!("{}: {text}", model.word(variant)),
                )]
            }
            // The skip event has said it.
            Outcome::Skipped => Vec::new(),
            Outcome::Failed => {
                let head = format!("{step} failed after {time}: ");
                let mut lines = block(
                    Some(&variant.key),
                    Tone::Bad,
                    &head,
                    why.unwrap_or("no reason was given"),
                );
                lines.extend(self.evidence(node));
                lines.extend(hint_lines(Some(&variant.key), hint.as_deref()));
                lines
            }
            Outcome::Refused => {
                let head = format!("{step} refused: ");
                let mut lines = block(
                    Some(&variant.key),
                    Tone::Bad,
                    &head,
                    why.unwrap_or("no reason was given"),
                );
                lines.extend(hint_lines(Some(&variant.key), hint.as_deref()));
                lines
            }
            Outcome::Cancelled => vec![about(
                id,
                Tone::Warn,
                &match why {
                    Some(why) => format!("{step} cancelled after {time}: {why}"),
                    None => format!("{step} cancelled after {time}"),
                },
            )],
            Outcome::NotRun => not_run(model, node, why).into_iter().collect(),
        }
    }

    /// The last lines of a failed node's output, and where the rest is.
    fn evidence(&self, node: &NodeView) -> Vec<StateLine> {
        let mut lines = Vec::new();
        if !node.tail.is_empty() {
            let count = match node.tail.len() {
                1 => "the last line of its output:".to_owned(),
                many => format!("the last {many} lines of its output:"),
            };
            lines.push(about(&node.id, Tone::Normal, &count));
            lines.extend(
                node.tail
                    .iter()
                    .map(|line| self.child(&node.id, line))
                    .map(|line| StateLine {
                        text: fit(&line.text, EVIDENCE),
                        ..line
                    }),
            );
        }
        if let Some(log) = &node.log {
            lines.push(about(&node.id, Tone::Normal, &format!("log: {log}")));
        }
        lines
    }
}

impl Told {
    fn now(at: Timestamp) -> Told {
        Told {
            at,
            setscene: false,
            tenth: 0,
        }
    }
}

/// That a node will not run is worth a line where nothing of its variant has said why.
fn not_run(model: &RunModel, node: &NodeView, why: Option<&str>) -> Option<StateLine> {
    let variant = &model.variants[node.variant];
    let is_first = model
        .nodes_of(variant)
        .find(|other| other.outcome().is_some_and(|o| !o.lets_descendants_run()))
        .is_some_and(|first| first.id == node.id);
    if !is_first {
        return None;
    }
    let text = match why {
        Some(why) => format!("not run: {why}"),
        None => "not run".to_owned(),
    };
    Some(about(&node.id, Tone::Quiet, &text))
}

fn artifact(kind: &EventKind) -> Option<StateLine> {
    let EventKind::Artifact {
        node,
        name,
        bytes,
        nix32,
        store_path,
        how,
        ..
    } = kind
    else {
        return None;
    };
    let verb = match how {
        How::Copied | How::Reflinked | How::InPlace => "captured",
        How::Added => "registered",
        How::AlreadyValid => "already registered",
        How::Made => "made",
        How::Kept => "kept",
    };
    let what = format!("{verb} {name}, {}, sha256:{nix32}", human::bytes(*bytes));
    let text = match store_path {
        Some(path) => format!("{what}, {path}"),
        None => what,
    };
    Some(about(node, Tone::Normal, &text))
}

/// `task 212 of 351: isar-image-base:do_rootfs_install`, cleaned by who uses it.
fn task_text(progress: &Progress) -> String {
    let kind = if progress.setscene {
        "setscene task"
    } else {
        "task"
    };
    format!(
        "{kind} {} of {}: {}",
        progress.done, progress.total, progress.task
    )
}

fn step_of(node: &str) -> &str {
    node.split(':').next().unwrap_or(node)
}

fn about_run(tone: Tone, text: String) -> StateLine {
    StateLine {
        variant: None,
        tone,
        text: clean(&text, Colors::Drop),
    }
}

fn about(node: &str, tone: Tone, text: &str) -> StateLine {
    StateLine {
        variant: Some(variant_of(node).to_owned()),
        tone,
        text: clean(text, Colors::Drop),
    }
}

/// A text of one or more lines; the head stands before the first.
fn block(variant: Option<&str>, tone: Tone, head: &str, text: &str) -> Vec<StateLine> {
    let mut lines = text.lines();
    let first = format!("{head}{}", lines.next().unwrap_or(""));
    std::iter::once(first)
        .chain(lines.map(|line| format!("  {line}")))
        .map(|text| StateLine {
            variant: variant.map(str::to_owned),
            tone,
            text: clean(&text, Colors::Drop),
        })
        .collect()
}

fn hint_lines(variant: Option<&str>, hint: Option<&str>) -> Vec<StateLine> {
    hint.map_or_else(Vec::new, |hint| {
        block(variant, Tone::Normal, "hint: ", hint)
    })
}
