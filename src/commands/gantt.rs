//! A chart of a schedule: a line a variant, a column a piece of time. Knows nothing of where it is shown.

use unicode_width::UnicodeWidthStr as _;

use crate::model::plan::{Plan, StepKind};
use crate::model::simulate::{Schedule, Span};
use crate::report::human;
use crate::report::paint::{Paint, Tone};

/// The narrowest that a chart is drawn.
const LEAST: usize = 20;
/// How far the marks of the axis are apart at least.
const MARK: usize = 12;

/// The chart, in so many columns, with a line that explains it. A build is `=`, the part of a leader's
/// build for which others wait `>`, a capture `c`, a registration `r`. What is shorter than a column
/// still has one, where the next does not need it.
pub(super) fn chart(plan: &Plan, schedule: &Schedule, columns: usize, paint: Paint) -> String {
    let mut rows: Vec<(u64, usize)> = Vec::new();
    let mut spans: Vec<Vec<(StepKind, Span)>> = vec![Vec::new(); plan.variants.len()];
    for (node, span) in plan.nodes.iter().zip(&schedule.spans) {
        let Some(span) = *span else { continue };
        if spans[node.variant.0].is_empty() {
            rows.push((span.start, node.variant.0));
        }
        spans[node.variant.0].push((node.step, span));
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
        let bar = scale.bar(
            &spans[row],
            leads[row]
                .then(|| plan.expected.get(row))
                .flatten()
                .map(|e| e.shared),
        );
        text += &format!("{}  {}\n", cut(&keys[row], name), coloured(&bar, paint));
    }
    let compresses = plan
        .nodes
        .iter()
        .any(|node| node.step == StepKind::Compress);
    let legend = [
        "= build  > until others may follow  c capture",
        if compresses { "  z compress" } else { "" },
        "  r register",
    ]
    .concat();
    text += &paint.tone(Tone::Quiet, &legend);
    text + "\n\n"
}

/// Variants whose build others waited for.
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
    /// The column of a time; that of the end is one too many.
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
                _ => human::duration((millis / 1000) as f64),
            };
            axis += &" ".repeat(column.saturating_sub(axis.width()));
            axis += &format!("|{label} ");
        }
        axis.truncate(self.width);
        axis.trim_end().to_owned()
    }

    fn bar(&self, spans: &[(StepKind, Span)], shared: Option<u64>) -> String {
        let mut bar = vec![' '; self.width];
        for &(step, span) in spans {
            let first = self.column(span.start).min(self.width - 1);
            let end = self.column(span.end).max(first + 1);
            let mark = match step {
                StepKind::Build => '=',
                StepKind::Capture => 'c',
                StepKind::Compress => 'z',
                StepKind::Register => 'r',
            };
            bar[first..end].fill(mark);
            if let (StepKind::Build, Some(shared)) = (step, shared) {
                let until = self.column((span.start + shared).min(span.end));
                bar[first..until.clamp(first + 1, end)].fill('>');
            }
        }
        bar.into_iter().collect::<String>().trim_end().to_owned()
    }
}

fn coloured(bar: &str, paint: Paint) -> String {
    let tone = |mark: char| match mark {
        '>' => Tone::Warn,
        'c' | 'z' | 'r' => Tone::Good,
        _ => Tone::Normal,
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

/// A name in exactly so many columns; one that is cut ends in `~`.
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
