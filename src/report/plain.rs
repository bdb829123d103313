//! The plain reporter: one line a change of state, prefixed by its variant. For output that is no
//! terminal, and for terminals where no bars are wanted.

use std::io;

use super::narrator::{Detail, Narrator, StateLine};
use super::paint::Paint;
use super::run_model::RunModel;
use super::{Clock, Output, Reporter};
use crate::model::event::Event;

/// How the plain reporter writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlainOptions {
    /// Whether every output line of a child is written.
    pub verbose: bool,
    /// Whether lines are coloured.
    pub color: bool,
}

/// The plain reporter.
pub struct Plain {
    out: Output,
    clock: Clock,
    paint: Paint,
    model: RunModel,
    narrator: Narrator,
}

impl Plain {
    /// A plain reporter that writes to `out`. The clock is asked only between events, for the line that
    /// says that a silent build goes on.
    #[must_use]
    pub fn new(out: Output, clock: Clock, options: PlainOptions) -> Plain {
        let paint = Paint {
            color: options.color,
        };
        let detail = if options.verbose {
            Detail::Everything
        } else {
            Detail::Steps
        };
        Plain {
            out,
            clock,
            paint,
            model: RunModel::default(),
            narrator: Narrator::new(detail, paint),
        }
    }

    fn write(&mut self, lines: &[StateLine]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let width = self.model.key_width();
        // One write for all lines of an event, so that nothing else comes between them.
        let mut text = String::new();
        for line in lines {
            text.push_str(&line.render(width, self.paint));
            text.push('\n');
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl Reporter for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.model.fold(event);
        let lines = self.narrator.tell(&self.model, event);
        self.write(&lines)
    }

    fn tick(&mut self) -> io::Result<()> {
        let now = (self.clock)();
        let lines = self.narrator.heartbeat(&self.model, now);
        self.write(&lines)
    }
}
