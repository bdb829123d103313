//! The narrator: turns events into lines of text, and decides which events deserve one.
//!
//! Every reporter that writes lines uses it, so a terminal, a file and a CI log show the same words. Text from
//! outside (output, reasons, names) is cleaned here.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::event::numbers;
use crate::event::outcome::{Outcome, RunOutcome};
use crate::event::{ArtifactOrigin, Event, EventKind, GateVerdict, NodeRef};
use crate::report::paint::{Paint, Tone};
use crate::report::run_model::{NO_REASON, NodeView, Phase, Progress, RunModel, seconds_between};
use crate::report::sanitize::{Colors, clean, fit, pad};

/// Seconds after which the progress of a build gets a line even within the same tenth.
const PROGRESS_INTERVAL: f64 = 30.0;
/// Seconds without a line after which a running node gets one, so that it does not look hung.
const HEARTBEAT: f64 = 60.0;
/// The most columns of each line of output quoted for a failed node.
const EVIDENCE: usize = 400;

/// One line about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLine {
    /// The variant, `machine/id`; none for a line about the whole run.
    pub variant: Option<String>,
    /// The tone, which decides the colour.
    pub tone: Tone,
    /// Cleaned text.
    pub text: String,
}

impl StateLine {
    /// The line to write: the variant padded to `key_width`, then the text.
    #[must_use]
    pub fn render(&self, key_width: usize, paint: Paint) -> String {
        let text = paint.tone(self.tone, &self.text);
        match &self.variant {
            Some(key) => {
                let key = clean(key, Colors::Drop);
                // A name longer than the column stays whole, so that a search for it finds the line.
                let padded = if crate::report::sanitize::width(&key) > key_width {
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

/// The amount of detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Ends, warnings and failures: for a live display, which shows running steps by itself and precedes
    /// the table of artifacts.
    Ends,
    /// Starts and milestones as well.
    Steps,
    /// Passed gates, notes and every line of output as well.
    Everything,
}

/// Turns events into lines; remembers the last line of each running node.
#[derive(Debug)]
pub struct Narrator {
    detail: Detail,
    colors: Colors,
    last: HashMap<String, LastNews>,
}

/// The time and the progress of the last line about a running node.
#[derive(Debug, Clone, Copy)]
struct LastNews {
    at: Timestamp,
    setscene: bool,
    tenth: u32,
}

impl Narrator {
    /// A narrator that keeps the colours in a child's lines if `paint` has colour.
    #[must_use]
    pub fn new(detail: Detail, paint: Paint) -> Narrator {
        Narrator {
            detail,
            colors: if paint.color {
                Colors::Keep
            } else {
                Colors::Drop
            },
            last: HashMap::new(),
        }
    }

    /// The lines for an event that `model` has just folded.
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
                    numbers::count(model.variants.len(), "variant"),
                    numbers::count(nodes.len(), "step")
                ),
            )),
            EventKind::NodeStarted { node, log } => {
                self.last.insert(node.clone(), LastNews::now(event.time));
                if steps {
                    let mut text = format!("{} started", verb(model, node));
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
            // Without `Everything` no output is shown, so dropped lines are not worth a line.
            EventKind::OutputDropped { node, lines: count }
                if self.detail == Detail::Everything =>
            {
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                let dropped = numbers::count(count, "output line");
                lines.push(about(
                    node,
                    Tone::Quiet,
                    &format!("{dropped} dropped; see the log"),
                ));
            }
            EventKind::Artifact { .. } if steps => lines.extend(artifact(&event.kind)),
            EventKind::Gate {
                node,
                name,
                verdict,
                why,
            } => match verdict {
                GateVerdict::Refused => {
                    lines.push(about(
                        node,
                        Tone::Bad,
                        &format!("gate {name} refused: {why}"),
                    ));
                }
                GateVerdict::Passed if self.detail == Detail::Everything => {
                    lines.push(about(node, Tone::Quiet, &format!("{name}: {why}")));
                }
                GateVerdict::Passed => {}
            },
            EventKind::Skip { node, why, .. } if steps => {
                lines.push(about(
                    node,
                    Tone::Quiet,
                    &format!("{} skipped: {why}", verb(model, node)),
                ));
            }
            EventKind::NodeFinished { node, .. } => {
                self.last.remove(node);
                lines.extend(self.node_end(model, node));
            }
            EventKind::Warning {
                node,
                message,
                hint,
            } => {
                let variant = node.as_deref().map(|node| NodeRef::of(node).variant);
                lines.extend(block(variant, Tone::Warn, "warning: ", message));
                lines.extend(hint_lines(variant, hint.as_deref()));
            }
            EventKind::Note { node, message } if self.detail == Detail::Everything => {
                let variant = node.as_deref().map(|node| NodeRef::of(node).variant);
                lines.extend(block(variant, Tone::Quiet, "note: ", message));
            }
            // After a live display the summary shows the totals.
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

    /// Lines for the running nodes that had none for a minute, so that a long task does not look hung.
    pub fn heartbeat(&mut self, model: &RunModel, now: Timestamp) -> Vec<StateLine> {
        if self.detail == Detail::Ends {
            return Vec::new();
        }
        let mut lines = Vec::new();
        for node in &model.nodes {
            let Some(since) = node.running_since() else {
                continue;
            };
            let Some(last) = self.last.get_mut(&node.id) else {
                continue;
            };
            if seconds_between(last.at, now) < HEARTBEAT {
                continue;
            }
            last.at = now;
            let elapsed = numbers::duration(seconds_between(since, now));
            let text = match &node.progress {
                Some(progress) => format!(
                    "still {} after {elapsed}, {}",
                    node.doing(),
                    task_text(progress)
                ),
                None => format!("still {} after {elapsed}", node.doing()),
            };
            lines.push(about(&node.id, Tone::Quiet, &text));
        }
        lines
    }

    fn milestone(&mut self, model: &RunModel, id: &str, now: Timestamp) -> Option<StateLine> {
        let node = model.node(id)?;
        let progress = node.progress.as_ref()?;
        let tenth = progress.percent() / 10;
        let last = self
            .last
            .entry(id.to_owned())
            .or_insert_with(|| LastNews::now(now));
        let is_new_count = last.setscene != progress.setscene;
        let is_further = tenth > last.tenth;
        let is_late = seconds_between(last.at, now) >= PROGRESS_INTERVAL;
        if !(is_new_count || is_further || is_late) {
            return None;
        }
        *last = LastNews {
            at: now,
            setscene: progress.setscene,
            tenth,
        };
        let text = if progress.setscene {
            format!("{}: {}", node.verb(), task_text(progress))
        } else {
            format!(
                "{} {} %, {}",
                node.verb(),
                progress.percent(),
                task_text(progress)
            )
        };
        Some(about(id, Tone::Quiet, &text))
    }

    fn child(&self, node: &str, line: &str) -> StateLine {
        StateLine {
            variant: Some(NodeRef::of(node).variant.to_owned()),
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
        let verb = node.verb();
        let time = numbers::duration(*seconds);
        let why = why.as_deref();
        match outcome {
            Outcome::Succeeded if model.is_over(variant) => vec![about(
                id,
                Tone::Good,
                &format!(
                    "{} in {}",
                    node.past(),
                    numbers::duration(model.seconds(variant))
                ),
            )],
            Outcome::Succeeded if self.detail == Detail::Ends => Vec::new(),
            Outcome::Succeeded => vec![about(id, Tone::Normal, &format!("{verb} done in {time}"))],
            Outcome::Skipped if model.is_over(variant) => {
                let text = why.or(node.skipped.as_deref()).unwrap_or("nothing to do");
                vec![about(
                    id,
                    Tone::Good,
                    &format!("{}: {text}", model.word(variant)),
                )]
            }
            // The skip event had a line.
            Outcome::Skipped => Vec::new(),
            Outcome::Failed => {
                let head = format!("{verb} failed after {time}: ");
                let mut lines = block(
                    Some(&variant.key),
                    Tone::Bad,
                    &head,
                    why.unwrap_or(NO_REASON),
                );
                lines.extend(self.evidence(node));
                lines.extend(hint_lines(Some(&variant.key), hint.as_deref()));
                lines
            }
            Outcome::Refused => {
                let head = format!("{verb} refused: ");
                let mut lines = block(
                    Some(&variant.key),
                    Tone::Bad,
                    &head,
                    why.unwrap_or(NO_REASON),
                );
                lines.extend(hint_lines(Some(&variant.key), hint.as_deref()));
                lines
            }
            Outcome::Cancelled => vec![about(
                id,
                Tone::Warn,
                &match why {
                    Some(why) => format!("{verb} cancelled after {time}: {why}"),
                    None => format!("{verb} cancelled after {time}"),
                },
            )],
            Outcome::NotRun => not_run(model, node, why).into_iter().collect(),
        }
    }

    /// The last lines of a failed node's output, and the path of its log.
    fn evidence(&self, node: &NodeView) -> Vec<StateLine> {
        let mut lines = Vec::new();
        if !node.tail.is_empty() {
            let count = match node.tail.len() {
                1 => "last line of its output:".to_owned(),
                many => format!("last {many} lines of its output:"),
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

impl LastNews {
    fn now(at: Timestamp) -> LastNews {
        LastNews {
            at,
            setscene: false,
            tenth: 0,
        }
    }
}

/// The line for a node that will not run; none if an earlier node of the variant had a line that explains it.
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
        ArtifactOrigin::Copied | ArtifactOrigin::Reflinked | ArtifactOrigin::InPlace => "captured",
        ArtifactOrigin::Added => "registered",
        ArtifactOrigin::AlreadyValid => "already registered",
        ArtifactOrigin::Made => "made",
        ArtifactOrigin::Kept => "kept",
    };
    let what = format!("{verb} {name}, {}, sha256:{nix32}", numbers::bytes(*bytes));
    let text = match store_path {
        Some(path) => format!("{what}, {path}"),
        None => what,
    };
    Some(about(node, Tone::Normal, &text))
}

/// `task 212 of 351: isar-image-base:do_rootfs_install`. Not cleaned.
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

fn verb<'a>(model: &'a RunModel, id: &'a str) -> &'a str {
    model
        .node(id)
        .map_or_else(|| NodeRef::of(id).step, NodeView::verb)
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
        variant: Some(NodeRef::of(node).variant.to_owned()),
        tone,
        text: clean(text, Colors::Drop),
    }
}

/// The lines of a text, with `head` before the first one.
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
