//! The live display on a terminal: a bar a running variant, one line of totals, and above them, as plain
//! lines that stay, what has ended.

use std::io;

use jiff::Timestamp;

use super::narrator::{Detail, Narrator};
use super::paint::{Paint, Tone};
use super::run_model::{NodeView, Progress, RunModel, Standing, seconds_between};
use super::sanitize::{Colors, clean, fit, pad, width};
use super::screen::{Screen, Size};
use super::{Clock, Output, Reporter, human, terminal};
use crate::model::event::Event;

/// What a terminal that does not say its size is taken for.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// Columns that are kept for the elapsed time at the end of a row.
const ELAPSED: usize = 8;

/// The live display.
pub struct Bars {
    screen: Screen,
    clock: Clock,
    paint: Paint,
    model: RunModel,
    narrator: Narrator,
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
        Bars {
            screen: Screen::new(out, size),
            clock,
            paint,
            model: RunModel::default(),
            narrator: Narrator::new(Detail::Ends, paint),
        }
    }

    fn draw(&mut self, above: &[String]) -> io::Result<()> {
        let frame = if self.model.end.is_some() {
            Vec::new()
        } else {
            frame(&self.model, self.screen.room(), (self.clock)(), self.paint)
        };
        self.screen.draw(above, &frame)
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
        self.screen.clear()
    }
}

/// The moving lines for a terminal with room for (columns, rows).
fn frame(
    model: &RunModel,
    (columns, rows): (usize, usize),
    now: Timestamp,
    paint: Paint,
) -> Vec<String> {
    if model.nodes.is_empty() {
        return Vec::new();
    }
    let mut running: Vec<(Timestamp, &NodeView)> = model
        .nodes
        .iter()
        .filter_map(|node| Some((node.running_since()?, node)))
        .collect();
    // Oldest first, so that a line keeps its place while others end below it.
    running.sort_by_key(|(since, _)| *since);
    let room = rows.saturating_sub(1);
    let shown = if running.len() <= room {
        running.len()
    } else {
        room.saturating_sub(1)
    };
    let layout = Layout::new(model, &running, columns);
    let mut lines: Vec<String> = running[..shown]
        .iter()
        .map(|(since, node)| layout.row(model, node, seconds_between(*since, now), paint))
        .collect();
    if shown < running.len() && room > 0 {
        let text = format!("… and {} more running", running.len() - shown);
        lines.push(paint.tone(Tone::Quiet, &text));
    }
    lines.push(totals(model, columns, now, paint));
    lines
}

/// Columns of the parts of a row.
struct Layout {
    columns: usize,
    key: usize,
    bar: usize,
    count: usize,
}

impl Layout {
    fn new(model: &RunModel, running: &[(Timestamp, &NodeView)], columns: usize) -> Layout {
        let longest = |of: &dyn Fn(&NodeView) -> usize| {
            running.iter().map(|(_, node)| of(node)).max().unwrap_or(0)
        };
        let key = longest(&|node| width(&model.variants[node.variant].key));
        let count = longest(&|node| node.progress.as_ref().map_or(0, |p| count_text(p).len()));
        Layout {
            columns,
            key: key.min(columns * 2 / 5),
            bar: match columns {
                100.. => 20,
                70.. => 8,
                _ => 0,
            },
            count,
        }
    }

    fn row(&self, model: &RunModel, node: &NodeView, seconds: f64, paint: Paint) -> String {
        let key = clean(&model.variants[node.variant].key, Colors::Drop);
        let key = pad(&key, self.key);
        let mut middle = String::new();
        match &node.progress {
            Some(progress) => {
                if self.bar > 0 {
                    middle.push_str(&bar(progress, self.bar, paint));
                    middle.push_str("  ");
                }
                let count = count_text(progress);
                middle.push_str(&format!("{count:>width$}  ", width = self.count));
                let room = self
                    .columns
                    .saturating_sub(self.key + 2 + width(&middle) + ELAPSED);
                middle.push_str(&task_text(progress, room));
            }
            None => middle.push_str(match node.step.as_str() {
                "build" => "starting",
                "capture" => "capturing",
                "register" => "registering",
                other => other,
            }),
        }
        let start = format!("{}  {middle}", paint.bold(&key));
        with_right(&start, &human::stopwatch(seconds), self.columns)
    }
}

/// The task: with its recipe where there is room, which says less than what is done.
fn task_text(progress: &Progress, room: usize) -> String {
    let task = clean(&progress.task, Colors::Drop);
    let (verb, task) = match task.strip_suffix("_setscene") {
        Some(task) if progress.setscene => ("restoring ", task.to_owned()),
        _ => ("", task),
    };
    let whole = format!("{verb}{task}");
    if width(&whole) <= room {
        return whole;
    }
    let short = task.rsplit(':').next().unwrap_or("");
    format!("{verb}{short}")
}

fn count_text(progress: &Progress) -> String {
    format!("{}/{}", progress.done, progress.total)
}

fn bar(progress: &Progress, columns: usize, paint: Paint) -> String {
    let percent = usize::try_from(progress.percent()).unwrap_or(0);
    let full = percent * columns / 100;
    // What is restored from the shared state is no progress of the build itself.
    let tone = if progress.setscene {
        Tone::Quiet
    } else {
        Tone::Good
    };
    format!(
        "{}{}",
        paint.tone(tone, &"█".repeat(full)),
        paint.tone(Tone::Quiet, &"░".repeat(columns - full))
    )
}

fn totals(model: &RunModel, columns: usize, now: Timestamp, paint: Paint) -> String {
    let parts: Vec<String> = model
        .tally()
        .into_iter()
        .map(|(standing, word, count)| {
            let tone = match standing {
                Standing::Done | Standing::Unchanged => Tone::Good,
                Standing::Failed | Standing::Refused => Tone::Bad,
                Standing::Cancelled => Tone::Warn,
                Standing::NotRun | Standing::Running | Standing::Waiting => Tone::Normal,
            };
            paint.tone(tone, &format!("{count} {word}"))
        })
        .collect();
    let text = format!(
        "{}: {}",
        human::count(model.variants.len(), "variant"),
        parts.join(", ")
    );
    let elapsed = model
        .started
        .map_or(0.0, |started| seconds_between(started, now));
    with_right(&text, &human::stopwatch(elapsed), columns)
}

/// A line with something at its right end, which is the last to be given up.
fn with_right(left: &str, right: &str, columns: usize) -> String {
    match columns.checked_sub(width(right) + 1) {
        Some(room) => format!("{} {right}", pad(left, room)),
        None => fit(left, columns),
    }
}
