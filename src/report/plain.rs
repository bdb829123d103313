//! The plain reporter: one line for each change of state, prefixed by its variant. Draws to files and pipes,
//! and to terminals with `--verbose`.

use std::io;
use std::sync::Arc;

use crate::event::{Clock, Event, Reporter};
use crate::report::narrator::{Detail, Narrator, StateLine};
use crate::report::paint::Paint;
use crate::report::run_model::RunModel;
use crate::report::{ReportWriter, ReporterEntry};

/// The options of the plain reporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlainOptions {
    /// Whether every output line of a child is written.
    pub verbose: bool,
    /// Whether lines are coloured.
    pub color: bool,
}

/// The entry of the plain reporter.
pub(super) const ENTRY: ReporterEntry = ReporterEntry {
    name: "plain",
    suits: |context| context.ci_log().is_none() && !context.is_live(),
    make: |context| {
        let options = PlainOptions {
            verbose: context.verbose,
            color: context.stderr_color,
        };
        let clock = Arc::clone(&context.clock);
        Ok(Box::new(Plain::new(Box::new(io::stderr()), clock, options)))
    },
};

/// The plain reporter.
pub struct Plain {
    out: ReportWriter,
    clock: Clock,
    paint: Paint,
    model: RunModel,
    narrator: Narrator,
}

impl Plain {
    /// A plain reporter that writes to `out`. The clock serves the line that a silent step gets between
    /// events; every other line has the time of its event.
    #[must_use]
    pub fn new(out: ReportWriter, clock: Clock, options: PlainOptions) -> Plain {
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
        // One write for all lines of an event, so that no other writer's text comes between them.
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
