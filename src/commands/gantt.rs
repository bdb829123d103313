//! A Gantt chart of a schedule: a line for each variant, time from left to right.

use unicode_width::UnicodeWidthStr as _;

use crate::event::numbers;
use crate::plan::simulate::{NodeSpan, Schedule};
use crate::plan::{Node, Plan, StepInfo};
use crate::report::paint::{Paint, Tone};

/// The least width of the chart, in columns.
const LEAST: usize = 20;
/// The least distance between marks of the axis, in columns.
const MARK: usize = 12;

/// The chart, in this number of columns, with a legend. A build is `=`, the part of a leader's build for which
/// others wait `>`, a capture `c`, a registration `r`. A step shorter than a column still has one, unless the
/// next step needs it.
pub(super) fn chart(plan: &Plan, schedule: &Schedule, columns: usize, paint: Paint) -> String {
    let mut rows: Vec<(u64, usize)> = Vec::new();
    let mut spans: Vec<Vec<(&Node, NodeSpan)>> = vec![Vec::new(); plan.variants.len()];
    for (node, span) in plan.nodes.iter().zip(&schedule.spans) {
        let Some(span) = *span else { continue };
        if spans[node.variant.0].is_empty() {
            rows.push((span.start, node.variant.0));
        }
        spans[node.variant.0].push((node, span));
    }
    rows.sort_unstable();
    let keys: Vec<String> = plan
        .variants
        .iter()
        .map(|variant| variant.key.to_string())
        .collect();
    let longest = rows
        .iter()
        .map(|&(_, row)| keys[row].width())
        .max()
        .unwrap_or(0);
    let name = longest.min(columns * 2 / 5);
    let width = columns.saturating_sub(name + 3).max(LEAST);
    let scale = Scale {
        width,
        whole: schedule.makespan.max(1),
    };
    let leads = leaders(plan, schedule);
    let mut text = format!("{:name$}  {}\n", "", paint.tone(Tone::Quiet, &scale.axis()));
    for (_, row) in rows {
        let bar = scale.bar(&spans[row], leads[row]);
        text += &format!("{}  {}\n", cut(&keys[row], name), coloured(&bar, paint));
    }
    let legend = legend(plan);
    text += &paint.tone(Tone::Quiet, &legend);
    text + "\n\n"
}

/// The legend, in the order of the steps.
fn legend(plan: &Plan) -> String {
    let drawn = |step: &&&'static StepInfo| plan.nodes.iter().any(|node| node.step == **step);
    let meaning = |step: &&'static StepInfo| {
        let follow = if step.heavy {
            "  > until others may follow"
        } else {
            ""
        };
        format!("{} {}{follow}", step.mark, step.words.verb)
    };
    let steps = plan.steps.iter().filter(drawn);
    steps.map(meaning).collect::<Vec<_>>().join("  ")
}

/// Whether other builds waited for the build of each variant.
fn leaders(plan: &Plan, schedule: &Schedule) -> Vec<bool> {
    let mut leads = vec![false; plan.variants.len()];
    for leader in schedule.followed.iter().flatten() {
        leads[plan.node(*leader).variant.0] = true;
    }
    leads
}

struct Scale {
    width: usize,
    whole: u64,
}

impl Scale {
    /// The column of a time; the end of the schedule maps to one past the last.
    fn column(&self, millis: u64) -> usize {
        let width = u128::try_from(self.width).unwrap_or(1);
        let column = u128::from(millis) * width / u128::from(self.whole);
        usize::try_from(column)
            .unwrap_or(self.width)
            .min(self.width)
    }

    fn axis(&self) -> String {
        let mut axis = String::new();
        let marks = (self.width / MARK).max(1);
        for mark in 0..marks {
            let column = self.width * mark / marks;
            let part = u64::try_from(mark).unwrap_or(0);
            let millis = self.whole / u64::try_from(marks).unwrap_or(1) * part;
            #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
            let label = match millis {
                0 => "0".to_owned(),
                _ => numbers::duration((millis / 1000) as f64),
            };
            axis += &" ".repeat(column.saturating_sub(axis.width()));
            axis += &format!("|{label} ");
        }
        axis.truncate(self.width);
        axis.trim_end().to_owned()
    }

    fn bar(&self, spans: &[(&Node, NodeSpan)], leads: bool) -> String {
        let mut bar = vec![' '; self.width];
        for &(node, span) in spans {
            let first = self.column(span.start).min(self.width - 1);
            let end = self.column(span.end).max(first + 1);
            bar[first..end].fill(node.step.mark);
            if leads && node.step.heavy {
                let until = self.column((span.start + node.shared_millis).min(span.end));
                bar[first..until.clamp(first + 1, end)].fill('>');
            }
        }
        bar.into_iter().collect::<String>().trim_end().to_owned()
    }
}

fn coloured(bar: &str, paint: Paint) -> String {
    let tone = |mark: char| match mark {
        '>' => Tone::Warn,
        ' ' | '=' => Tone::Normal,
        _ => Tone::Good,
    };
    let mut text = String::new();
    let mut rest = bar;
    while let Some(first) = rest.chars().next() {
        let end = rest
            .find(|mark| tone(mark) != tone(first))
            .unwrap_or(rest.len());
        text += &paint.tone(tone(first), &rest[..end]);
        rest = &rest[end..];
    }
    text
}

/// A name, padded or cut to `columns`; a cut one ends in `~`.
fn cut(name: &str, columns: usize) -> String {
    if name.width() <= columns {
        return format!("{name:columns$}");
    }
    let mut kept = String::new();
    for character in name.chars() {
        if kept.width() + 2 > columns {
            break;
        }
        kept.push(character);
    }
    format!("{kept}~")
}
