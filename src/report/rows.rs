//! The rows of the live display: one for each running step, and one of totals. A row is an indicatif template
//! with its texts, fitted to the terminal. Pure.

use jiff::Timestamp;

use crate::event::numbers;
use crate::report::paint::{Paint, Tone};
use crate::report::run_model::{NodeView, Progress, RunModel, Standing, seconds_between};
use crate::report::sanitize::{Colors, clean, fit, pad, width};

/// One row: the input of a progress bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The node's id; empty for the totals.
    pub(super) id: String,
    /// The template, with colours as escape sequences: indicatif's own colours depend on whether standard
    /// output is a terminal.
    pub(super) template: String,
    /// `{prefix}`.
    pub(super) prefix: String,
    /// `{msg}`.
    pub(super) message: String,
    /// Finished tasks.
    pub(super) position: u64,
    /// All tasks.
    pub(super) length: u64,
    /// `{elapsed}`.
    pub(super) elapsed: String,
}

/// The rows that fit into (columns, rows). The totals come last.
pub(super) fn rows(
    model: &RunModel,
    (columns, rows): (usize, usize),
    now: Timestamp,
    paint: Paint,
) -> Vec<Row> {
    if model.nodes.is_empty() || model.end.is_some() {
        return Vec::new();
    }
    let mut running: Vec<(Timestamp, &NodeView)> = model
        .nodes
        .iter()
        .filter_map(|node| Some((node.running_since()?, node)))
        .collect();
    // Oldest first, so that a row stays where it is while others end below it.
    running.sort_by_key(|(since, _)| *since);
    let room = rows.saturating_sub(1);
    let shown = if running.len() <= room {
        running.len()
    } else {
        room.saturating_sub(1)
    };
    let layout = RowLayout::new(model, &running, columns);
    let mut drawn: Vec<Row> = running[..shown]
        .iter()
        .map(|(since, node)| layout.row(model, node, seconds_between(*since, now), paint))
        .collect();
    let hidden = if room > 0 { running.len() - shown } else { 0 };
    drawn.push(totals(model, columns, hidden, now, paint));
    drawn
}

/// The columns of the parts of a row.
struct RowLayout {
    columns: usize,
    key: usize,
    bar: usize,
    count: usize,
}

impl RowLayout {
    fn new(model: &RunModel, running: &[(Timestamp, &NodeView)], columns: usize) -> RowLayout {
        let longest = |of: &dyn Fn(&NodeView) -> usize| {
            running.iter().map(|(_, node)| of(node)).max().unwrap_or(0)
        };
        let key = longest(&|node| width(&model.variants[node.variant].key));
        let count = longest(&|node| node.progress.as_ref().map_or(0, |p| count_text(p).len()));
        RowLayout {
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

    fn row(&self, model: &RunModel, node: &NodeView, seconds: f64, paint: Paint) -> Row {
        let elapsed = numbers::stopwatch(seconds);
        let key = clean(&model.variants[node.variant].key, Colors::Drop);
        // The elapsed time at the right end is the last part to go.
        let right = elapsed.len() + 1;
        let mut room = self.columns.saturating_sub(self.key + 2 + right);
        let mut template = paint.bold("{prefix}");
        template.push_str("  ");
        let message = match &node.progress {
            Some(progress) => {
                if self.bar > 0 {
                    // Restoring from the shared state cache is not progress of the build itself.
                    let tone = match progress.setscene {
                        true => Tone::Quiet,
                        false => Tone::Good,
                    };
                    template.push_str(&paint.tone(tone, &format!("{{bar:{}}}", self.bar)));
                    template.push_str("  ");
                    room = room.saturating_sub(self.bar + 2);
                }
                if let Some(left) = room.checked_sub(self.count + 2) {
                    let count = count_text(progress);
                    template.push_str(&format!("{count:>width$}  ", width = self.count));
                    room = left;
                }
                task_text(progress, room)
            }
            None => clean(node.doing(), Colors::Drop),
        };
        template.push_str("{wide_msg} {elapsed}");
        let mut prefix = pad(&key, self.key);
        if self.columns < self.key + 2 + right {
            template = paint.bold("{prefix}");
            prefix = fit(&key, self.columns);
        }
        let (position, length) = node.progress.as_ref().map_or((0, 1), |progress| {
            // The running task is not finished.
            (
                progress.done.saturating_sub(1).into(),
                progress.total.max(1).into(),
            )
        });
        Row {
            id: node.id.clone(),
            template,
            prefix,
            message: fit(&message, room),
            position,
            length,
            elapsed,
        }
    }
}

/// The task, with its recipe if there is room; the task's name is the more important part.
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

/// The row of totals, below a line with the number of hidden rows if there are any.
fn totals(model: &RunModel, columns: usize, hidden: usize, now: Timestamp, paint: Paint) -> Row {
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
        numbers::count(model.variants.len(), "variant"),
        parts.join(", ")
    );
    let seconds = model
        .started
        .map_or(0.0, |started| seconds_between(started, now));
    let elapsed = numbers::stopwatch(seconds);
    let (mut template, room) = match columns.checked_sub(elapsed.len() + 1) {
        Some(room) => ("{wide_msg} {elapsed}".to_owned(), room),
        None => ("{wide_msg}".to_owned(), columns),
    };
    let mut prefix = String::new();
    if hidden > 0 {
        template = format!("{}\n{template}", paint.tone(Tone::Quiet, "{prefix}"));
        prefix = fit(&format!("… and {hidden} more running"), columns);
    }
    Row {
        id: String::new(),
        template,
        prefix,
        message: fit(&text, room),
        position: 0,
        length: 1,
        elapsed,
    }
}
