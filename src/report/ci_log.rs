//! What GitHub and GitLab have in common: lines of state as they come, so that a job is never silent, and
//! each variant's output as one foldable section once the variant is done, since sections of variants
//! that run at the same time could not be kept apart. How a section is marked, and how a child is kept
//! from marking one, is the dialect's.

use std::collections::{HashMap, VecDeque};
use std::io;

use jiff::Timestamp;

use super::narrator::{Detail, Narrator, StateLine};
use super::paint::Paint;
use super::run_model::{NodeView, RunModel, VariantView};
use super::sanitize::{Colors, clean};
use super::{Clock, Output, Reporter, human};
use crate::model::event::{Event, EventKind, variant_of};
use crate::model::outcome::Outcome;

/// Lines of a variant's output that are kept from its start, where the configuration is shown.
const HEAD: usize = 500;
/// Lines that are kept from its end, where failures are.
const TAIL: usize = 9_500;

/// A section as a dialect marks it.
pub struct Section<'a> {
    /// The variant's place in the plan; with its name it is unique.
    pub place: usize,
    /// `machine/id`.
    pub key: &'a str,
    /// The line that stays when the section is folded.
    pub title: String,
    /// When the variant's first step started.
    pub start: Timestamp,
    /// When its last step ended.
    pub end: Timestamp,
}

/// How one CI system wants it.
pub trait Dialect: Send {
    /// The reporter's name.
    fn name(&self) -> &'static str;

    /// A cleaned line, changed so that the CI system sees text in it and nothing else.
    fn neutral(&self, line: &str) -> String;

    /// What opens a section: whole lines, ended.
    fn open(&mut self, section: &Section<'_>) -> String;

    /// What closes the section that was opened last.
    fn close(&mut self, section: &Section<'_>) -> String;

    /// What marks a failed step, besides its lines.
    fn failed(&mut self, _key: &str, _node: &NodeView, _why: &str, _hint: Option<&str>) -> String {
        String::new()
    }

    /// What marks a warning, besides its lines.
    fn warned(&mut self, _key: Option<&str>, _message: &str, _hint: Option<&str>) -> String {
        String::new()
    }

    /// What is done at the end.
    ///
    /// # Errors
    /// What the dialect's own outputs give.
    fn finish(&mut self, _model: &RunModel) -> io::Result<()> {
        Ok(())
    }
}

/// The output of a variant that waits for its end; bounded.
#[derive(Default)]
struct Buffer {
    head: Vec<String>,
    tail: VecDeque<String>,
    left_out: u64,
}

impl Buffer {
    fn push(&mut self, line: String) {
        if self.head.len() < HEAD {
            self.head.push(line);
            return;
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
            self.left_out += 1;
        }
        self.tail.push_back(line);
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty()
    }
}

/// A reporter for a CI log in the dialect `D`.
pub struct CiLog<D> {
    out: Output,
    clock: Clock,
    paint: Paint,
    colors: Colors,
    model: RunModel,
    narrator: Narrator,
    buffers: HashMap<usize, Buffer>,
    dialect: D,
}

impl<D: Dialect> CiLog<D> {
    pub(super) fn with_dialect(out: Output, clock: Clock, color: bool, dialect: D) -> CiLog<D> {
        let paint = Paint { color };
        CiLog {
            out,
            clock,
            paint,
            // Both systems show SGR colours, so a child's stay with ours.
            colors: if color { Colors::Keep } else { Colors::Drop },
            model: RunModel::default(),
            narrator: Narrator::new(Detail::Steps, paint),
            buffers: HashMap::new(),
            dialect,
        }
    }

    fn render(&self, lines: &[StateLine]) -> String {
        let width = self.model.key_width();
        let mut text = String::new();
        for line in lines {
            // State lines hold what children wrote, too: reasons, task names.
            text.push_str(&self.dialect.neutral(&line.render(width, self.paint)));
            text.push('\n');
        }
        text
    }

    fn keep(&mut self, node: &str, line: &str) {
        let Some(place) = self.model.variant_place(variant_of(node)) else {
            return;
        };
        let line = self.dialect.neutral(&clean(line, self.colors));
        self.buffers.entry(place).or_default().push(line);
    }

    /// What marks the event besides its lines.
    fn marks(&mut self, event: &Event) -> String {
        match &event.kind {
            EventKind::NodeFinished {
                node,
                outcome: Outcome::Failed | Outcome::Refused,
                why,
                hint,
                ..
            } => {
                let Some(view) = self.model.node(node) else {
                    return String::new();
                };
                let why = why.as_deref().unwrap_or("no reason was given");
                self.dialect
                    .failed(variant_of(node), view, why, hint.as_deref())
            }
            EventKind::Warning {
                node,
                message,
                hint,
            } => {
                let key = node.as_deref().map(variant_of);
                self.dialect.warned(key, message, hint.as_deref())
            }
            _ => String::new(),
        }
    }

    /// The section of a variant, where it wrote anything.
    fn section(&mut self, place: usize, now: Timestamp) -> String {
        let Some(buffer) = self.buffers.remove(&place).filter(|b| !b.is_empty()) else {
            return String::new();
        };
        let variant = &self.model.variants[place];
        let section = Section {
            place,
            key: &variant.key,
            title: title(&self.model, variant),
            start: start(&self.model, variant).unwrap_or(now),
            end: now,
        };
        let mut text = self.dialect.open(&section);
        let mut push = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        buffer.head.iter().for_each(|line| push(line));
        if buffer.left_out > 0 {
            push(&format!(
                "… {} lines are left out here; the log has them",
                buffer.left_out
            ));
        }
        buffer.tail.iter().for_each(|line| push(line));
        if variant.dropped > 0 {
            push(&format!(
                "… {} lines came too fast to be shown; the log has them",
                variant.dropped
            ));
        }
        text.push_str(&self.dialect.close(&section));
        text
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// Where the output of a variant is and what became of it: `output of qemuamd64/base (failed in 1m 02s)`.
fn title(model: &RunModel, variant: &VariantView) -> String {
    format!(
        "output of {} ({} in {})",
        clean(&variant.key, Colors::Drop),
        model.word(variant),
        human::duration(model.seconds(variant))
    )
}

fn start(model: &RunModel, variant: &VariantView) -> Option<Timestamp> {
    model
        .nodes_of(variant)
        .filter_map(|node| node.started)
        .min()
}

impl<D: Dialect> Reporter for CiLog<D> {
    fn name(&self) -> &'static str {
        self.dialect.name()
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.model.fold(event);
        if let EventKind::Output { node, line, .. } = &event.kind {
            self.keep(node, line);
            return Ok(());
        }
        let is_run_end = matches!(event.kind, EventKind::RunFinished { .. });
        let lines = self.narrator.tell(&self.model, event);
        let lines = self.render(&lines);
        let marks = self.marks(event);
        // A warning's mark is drawn as a line by itself; a failure's does not show its evidence.
        let is_drawn = matches!(event.kind, EventKind::Warning { .. }) && !marks.is_empty();
        let mut text = String::new();
        if !is_run_end && !is_drawn {
            text.push_str(&lines);
        }
        text.push_str(&marks);
        let mut over: Vec<usize> = self
            .buffers
            .keys()
            .copied()
            .filter(|&place| self.model.is_over(&self.model.variants[place]))
            .collect();
        over.sort_unstable();
        for place in over {
            text.push_str(&self.section(place, event.time));
        }
        if is_run_end {
            text.push_str(&lines);
        }
        self.write(&text)
    }

    fn tick(&mut self) -> io::Result<()> {
        let now = (self.clock)();
        let lines = self.narrator.heartbeat(&self.model, now);
        let text = self.render(&lines);
        self.write(&text)
    }

    fn finish(&mut self) -> io::Result<()> {
        // What is left here belongs to a record that was cut off.
        let mut places: Vec<usize> = self.buffers.keys().copied().collect();
        places.sort_unstable();
        let now = self.model.now.unwrap_or_else(|| (self.clock)());
        for place in places {
            let text = self.section(place, now);
            self.write(&text)?;
        }
        self.dialect.finish(&self.model)
    }
}
