//! The live display on a terminal: a bar a running variant, one line of totals, and above them, as plain
//! lines that stay, what has ended. Drawn by indicatif.

use std::fmt;
use std::io;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::narrator::{Detail, Narrator};
use super::paint::Paint;
use super::pane::Pane;
use super::rows::{Row, rows};
use super::run_model::RunModel;
use super::{Clock, Output, Reporter, terminal};
use crate::model::event::Event;

/// What a terminal that does not say its size is taken for.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// Says columns and rows of the terminal.
pub type Size = Box<dyn Fn() -> (usize, usize) + Send>;

/// The live display.
pub struct Bars {
    out: Output,
    size: Size,
    pane: Pane,
    multi: MultiProgress,
    /// In the order in which they are drawn.
    lines: Vec<Line>,
    clock: Clock,
    paint: Paint,
    model: RunModel,
    narrator: Narrator,
}

/// A progress bar, and what it was given last.
struct Line {
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

    /// A display on `out`, a terminal of the size (columns, rows) that `size` says at each call.
    #[must_use]
    pub fn new(out: Output, clock: Clock, color: bool, size: Size) -> Bars {
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
            // All begins anew: a bar is drawn with what the others last drew, and that was for another
            // width; and the new target does not try to clear what the pane has wiped.
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

    /// Removes the bars that have no row any more, or not in this order; whether there were any.
    fn remove_except(&mut self, rows: &[Row]) -> bool {
        let before = self.lines.len();
        let multi = &self.multi;
        let mut rest = rows;
        self.lines.retain(|line| {
            let place = rest.iter().position(|row| row.id == line.row.id);
            match place {
                Some(place) => rest = &rest[place + 1..],
                None => multi.remove(&line.bar),
            }
            place.is_some()
        });
        self.lines.len() < before
    }

    /// Gives the bar at `index` what it shows, and draws it if that is new or `is_stale`.
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
                let line = Line { bar, row };
                line.draw()?;
                self.lines.insert(index, line);
            }
        }
        Ok(())
    }

    /// Writes what was drawn, in one piece.
    fn write(&mut self) -> io::Result<()> {
        let ink = self.pane.take();
        if ink.is_empty() {
            return Ok(());
        }
        self.out.write_all(ink.as_bytes())?;
        self.out.flush()
    }
}

impl Line {
    fn draw(&self) -> io::Result<()> {
        let row = self.row.clone();
        let style = ProgressStyle::with_template(&row.template)
            .map_err(io::Error::other)?
            // The library's own says the time since the bar was made, and by its own clock.
            .with_key(
                "elapsed",
                move |_: &ProgressState, out: &mut dyn fmt::Write| {
                    // Writing to a string does not fail.
                    let _ = out.write_str(&row.elapsed);
                },
            );
        self.bar.set_style(style);
        // The `with_` forms of these do not draw; one draw for all is enough.
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
        // The lines of one event stand together, so the variant's name is said once.
        let lines: Vec<String> = told
            .iter()
            .enumerate()
            .map(|(index, line)| match index {
                0 => line.render(width, self.paint),
                _ => format!("    {}", self.paint.tone(line.tone, &line.text)),
            })
            .collect();
        // What only moves a bar waits for the next tick: five pictures a second are enough, and a
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
