//! The live display on a terminal: one bar for each running step, and a line of totals below them. Finished
//! variants, warnings and failures scroll away above as plain lines. Drawn by indicatif.

use std::fmt;
use std::io;
use std::sync::Arc;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::event::{Clock, Event, Reporter};
use crate::report::narrator::{Detail, Narrator};
use crate::report::paint::Paint;
use crate::report::pane::Pane;
use crate::report::rows::{Row, rows};
use crate::report::run_model::RunModel;
use crate::report::{ReportContext, ReportWriter, ReporterEntry, terminal};

/// Columns and rows assumed for a terminal that does not report its size.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// Returns the columns and rows of the terminal.
pub type TerminalSize = Box<dyn Fn() -> (usize, usize) + Send>;

/// The entry of the live display.
pub(super) const ENTRY: ReporterEntry = ReporterEntry {
    name: "bars",
    suits: ReportContext::is_live,
    make: |context| {
        let clock = Arc::clone(&context.clock);
        Ok(Box::new(Bars::stderr(clock, context.stderr_color)))
    },
};

/// The live display.
pub struct Bars {
    out: ReportWriter,
    size: TerminalSize,
    pane: Pane,
    multi: MultiProgress,
    /// From top to bottom.
    lines: Vec<BarLine>,
    clock: Clock,
    paint: Paint,
    model: RunModel,
    narrator: Narrator,
}

/// A progress bar, and the row that it shows.
struct BarLine {
    bar: ProgressBar,
    row: Row,
}

impl Bars {
    /// A display on standard error, which must be a terminal.
    #[must_use]
    pub fn stderr(clock: Clock, color: bool) -> Bars {
        let size = Box::new(|| terminal::stderr_size().unwrap_or(USUAL_SIZE));
        Bars::new(Box::new(io::stderr()), clock, color, size)
    }

    /// A display on `out`, a terminal. `size` is called before each picture, so that a resize is noticed.
    #[must_use]
    pub fn new(out: ReportWriter, clock: Clock, color: bool, size: TerminalSize) -> Bars {
        let paint = Paint { color };
        let pane = Pane::default();
        Bars {
            out,
            size,
            multi: MultiProgress::with_draw_target(pane.target()),
            pane,
            lines: Vec::new(),
            clock,
            paint,
            model: RunModel::default(),
            narrator: Narrator::new(Detail::Ends, paint),
        }
    }

    fn draw(&mut self, above: &[String]) -> io::Result<()> {
        if self.pane.resize((self.size)()) {
            // Start over: indicatif redraws a bar together with the last text of the others, which is
            // laid out for the old width. A new target does not clear the lines that the pane has wiped.
            self.remove_except(&[]);
            self.multi.set_draw_target(self.pane.target());
        }
        let rows = rows(&self.model, self.pane.room(), (self.clock)(), self.paint);
        let is_fewer = self.remove_except(&rows);
        if !above.is_empty() {
            self.multi.suspend(|| self.pane.leave(above));
        } else if is_fewer && rows.is_empty() {
            self.multi.clear()?;
        }
        for (index, row) in rows.into_iter().enumerate() {
            self.show(index, row, is_fewer)?;
        }
        self.write()
    }

    /// Removes the bars that have no row any more, or not in this order. Returns whether it removed any.
    fn remove_except(&mut self, rows: &[Row]) -> bool {
        let before = self.lines.len();
        let multi = &self.multi;
        let mut rest = rows;
        self.lines.retain(|line| {
            let found = rest.iter().position(|row| row.id == line.row.id);
            match found {
                Some(index) => rest = &rest[index + 1..],
                None => multi.remove(&line.bar),
            }
            found.is_some()
        });
        self.lines.len() < before
    }

    /// Sets the row of the bar at `index`, and draws the bar if the row is new or `is_stale`.
    fn show(&mut self, index: usize, row: Row, is_stale: bool) -> io::Result<()> {
        match self.lines.get_mut(index) {
            Some(line) if line.row.id == row.id => {
                if line.row != row || is_stale {
                    line.row = row;
                    line.draw()?;
                }
            }
            _ => {
                let hidden = ProgressDrawTarget::hidden();
                let bar = ProgressBar::with_draw_target(Some(row.length), hidden);
                let bar = self.multi.insert(index, bar);
                let line = BarLine { bar, row };
                line.draw()?;
                self.lines.insert(index, line);
            }
        }
        Ok(())
    }

    /// Writes the drawn picture in one write.
    fn write(&mut self) -> io::Result<()> {
        let ink = self.pane.take();
        if ink.is_empty() {
            return Ok(());
        }
        self.out.write_all(ink.as_bytes())?;
        self.out.flush()
    }
}

impl BarLine {
    fn draw(&self) -> io::Result<()> {
        let row = self.row.clone();
        let style = ProgressStyle::with_template(&row.template)
            .map_err(io::Error::other)?
            // indicatif's own key counts from the creation of the bar, by its own clock.
            .with_key(
                "elapsed",
                move |_: &ProgressState, out: &mut dyn fmt::Write| {
                    // Writing to a string does not fail.
                    let _ = out.write_str(&row.elapsed);
                },
            );
        self.bar.set_style(style);
        // The `with_` forms do not draw, so that `update` draws once for all changes.
        drop(
            self.bar
                .clone()
                .with_prefix(row.prefix)
                .with_message(row.message),
        );
        self.bar.update(|state| {
            state.set_len(row.length);
            state.set_pos(row.position);
        });
        Ok(())
    }
}

impl Reporter for Bars {
    fn name(&self) -> &'static str {
        "bars"
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.model.fold(event);
        let width = self.model.key_width();
        let told = self.narrator.tell(&self.model, event);
        // The lines of one event stay together, so only the first one names the variant.
        let lines: Vec<String> = told
            .iter()
            .enumerate()
            .map(|(index, line)| match index {
                0 => line.render(width, self.paint),
                _ => format!("    {}", self.paint.tone(line.tone, &line.text)),
            })
            .collect();
        // A change of the bars alone waits for the next tick: five pictures a second are enough, and a
        // flood of events costs no drawing.
        if lines.is_empty() {
            return Ok(());
        }
        self.draw(&lines)
    }

    fn tick(&mut self) -> io::Result<()> {
        self.draw(&[])
    }

    fn finish(&mut self) -> io::Result<()> {
        self.remove_except(&[]);
        self.multi.clear()?;
        self.write()
    }
}
