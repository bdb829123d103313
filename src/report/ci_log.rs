//! The reporter for CI logs, shared by GitHub and GitLab.
//!
//! Lines of state appear at once, so that a job is never silent. A variant's output appears as one foldable
//! section when the variant is done: sections of variants that run at the same time would mix. A
//! [`CiDialect`] knows the markers of a section, and how to keep a child's line from being one.

use std::collections::{HashMap, VecDeque};
use std::io;

use jiff::Timestamp;

use crate::event::numbers;
use crate::event::outcome::Outcome;
use crate::event::{Clock, Event, EventKind, NodeRef, Reporter};
use crate::report::ReportWriter;
use crate::report::narrator::{Detail, Narrator, StateLine};
use crate::report::paint::Paint;
use crate::report::run_model::{NO_REASON, RunModel, VariantView};
use crate::report::sanitize::{Colors, clean};

/// The lines kept from the start of a variant's output, where the configuration is shown.
const HEAD: usize = 500;
/// The lines kept from the end of a variant's output, where failures are shown.
const TAIL: usize = 9_500;

/// A foldable section: the output of one variant.
pub struct CiSection<'a> {
    /// The variant's index in the plan.
    pub index: usize,
    /// `machine/id`.
    pub key: &'a str,
    /// The line that remains when the section is folded.
    pub title: String,
    /// The start of the variant's first step.
    pub start: Timestamp,
    /// The end of its last step.
    pub end: Timestamp,
}

/// The log format of one CI system.
pub trait CiDialect: Send {
    /// [`Reporter::name`].
    fn name(&self) -> &'static str;

    /// A cleaned line, changed so that the CI system finds no command in it.
    fn neutral(&self, line: &str) -> String;

    /// The text that opens a section: whole lines with their ends.
    fn open(&mut self, section: &CiSection<'_>) -> String;

    /// The text that closes the section opened last.
    fn close(&mut self, section: &CiSection<'_>) -> String;

    /// An annotation for a failed step, in addition to its lines.
    fn failed(&mut self, _failure: &CiFailure<'_>) -> String {
        String::new()
    }

    /// An annotation that replaces the lines of a warning.
    fn warned(&mut self, _key: Option<&str>, _message: &str, _hint: Option<&str>) -> String {
        String::new()
    }

    /// Called once after the last event.
    ///
    /// # Errors
    /// Errors of outputs that belong to the dialect.
    fn finish(&mut self, _model: &RunModel) -> io::Result<()> {
        Ok(())
    }
}

/// A failed or refused step.
pub struct CiFailure<'a> {
    /// The variant: `machine/id`.
    pub key: &'a str,
    /// The verb for the step: `build`.
    pub verb: &'a str,
    /// The reason.
    pub why: &'a str,
    /// The remedy, if one is known.
    pub hint: Option<&'a str>,
}

/// The output of a variant that is not done; its first and last lines.
#[derive(Default)]
struct OutputBuffer {
    head: Vec<String>,
    tail: VecDeque<String>,
    left_out: u64,
}

impl OutputBuffer {
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
    out: ReportWriter,
    clock: Clock,
    paint: Paint,
    colors: Colors,
    model: RunModel,
    narrator: Narrator,
    buffers: HashMap<usize, OutputBuffer>,
    dialect: D,
}

impl<D: CiDialect> CiLog<D> {
    pub(super) fn with_dialect(
        out: ReportWriter,
        clock: Clock,
        color: bool,
        dialect: D,
    ) -> CiLog<D> {
        let paint = Paint { color };
        CiLog {
            out,
            clock,
            paint,
            // Both systems show SGR colours, so a child's colours stay.
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
            // State lines quote children: reasons, task names.
            text.push_str(&self.dialect.neutral(&line.render(width, self.paint)));
            text.push('\n');
        }
        text
    }

    fn keep(&mut self, node: &str, line: &str) {
        let Some(variant) = self.model.variant_index(NodeRef::of(node).variant) else {
            return;
        };
        let line = self.dialect.neutral(&clean(line, self.colors));
        self.buffers.entry(variant).or_default().push(line);
    }

    /// The annotation of an event.
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
                self.dialect.failed(&CiFailure {
                    key: NodeRef::of(node).variant,
                    verb: view.verb(),
                    why: why.as_deref().unwrap_or(NO_REASON),
                    hint: hint.as_deref(),
                })
            }
            EventKind::Warning {
                node,
                message,
                hint,
            } => {
                let key = node.as_deref().map(|node| NodeRef::of(node).variant);
                self.dialect.warned(key, message, hint.as_deref())
            }
            _ => String::new(),
        }
    }

    /// The section of a variant; empty if the variant has no output.
    fn section(&mut self, index: usize, now: Timestamp) -> String {
        let Some(buffer) = self.buffers.remove(&index).filter(|b| !b.is_empty()) else {
            return String::new();
        };
        let variant = &self.model.variants[index];
        let section = CiSection {
            index,
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
                "… {} left out; see the log",
                lines(buffer.left_out)
            ));
        }
        buffer.tail.iter().for_each(|line| push(line));
        if variant.dropped > 0 {
            push(&format!(
                "… {} dropped, because output came faster than it could be shown; see the log",
                lines(variant.dropped)
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

/// The title of a section: `output of qemuamd64/base (failed in 1m 02s)`.
fn title(model: &RunModel, variant: &VariantView) -> String {
    format!(
        "output of {} ({} in {})",
        clean(&variant.key, Colors::Drop),
        model.word(variant),
        numbers::duration(model.seconds(variant))
    )
}

fn start(model: &RunModel, variant: &VariantView) -> Option<Timestamp> {
    model
        .nodes_of(variant)
        .filter_map(|node| node.started)
        .min()
}

impl<D: CiDialect> Reporter for CiLog<D> {
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
        // The annotation of a warning shows its text in the log; that of a failure lacks the last lines of
        // output, so the state lines stay.
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
            .filter(|&index| self.model.is_over(&self.model.variants[index]))
            .collect();
        over.sort_unstable();
        for index in over {
            text.push_str(&self.section(index, event.time));
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
        // A record that was cut off leaves variants without an end.
        let mut unfinished: Vec<usize> = self.buffers.keys().copied().collect();
        unfinished.sort_unstable();
        let now = self.model.now.unwrap_or_else(|| (self.clock)());
        for index in unfinished {
            let text = self.section(index, now);
            self.write(&text)?;
        }
        self.dialect.finish(&self.model)
    }
}

/// A number of lines with its noun.
fn lines(number: u64) -> String {
    numbers::count(usize::try_from(number).unwrap_or(usize::MAX), "line")
}
