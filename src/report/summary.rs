//! The summary at the end of a run: a table of the variants, the totals, and the next commands to run.
//!
//! If the table does not fit the terminal, each variant is a block of lines instead. Hashes and store paths are
//! never cut, so that they can be copied.

use std::io;

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, ContentLineStyle, LineStyle, Table,
    TableStyle,
};

use crate::event::numbers;
use crate::event::outcome::RunOutcome;
use crate::event::{Event, Reporter};
use crate::report::paint::{Paint, Tone};
use crate::report::run_model::{
    ArtifactView, NO_REASON, NodeView, Phase, RunModel, Standing, VariantView,
};
use crate::report::sanitize::{Colors, clean, pad, width};
use crate::report::{ReportContext, ReportWriter, ReporterEntry};

/// The columns of a summary without a terminal.
const NO_TERMINAL_COLUMNS: usize = 200;

const EMPTY_CELL: &str = "–";

/// Columns separated by spaces alone, so that a line copied from the table contains no frame.
const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('─'));

/// The entry of the summary.
pub(super) const ENTRY: ReporterEntry = ReporterEntry {
    name: "summary",
    suits: ReportContext::stdout_is_free,
    make: |context| {
        let columns = context.stdout_columns.unwrap_or(NO_TERMINAL_COLUMNS);
        let out = Box::new(io::stdout());
        Ok(Box::new(Summary::new(out, columns, context.stdout_color)))
    },
};

/// The summary at the end of a run.
pub struct Summary {
    out: ReportWriter,
    columns: usize,
    paint: Paint,
    model: RunModel,
}

impl Summary {
    /// A summary on `out`, at most `columns` wide where hashes and store paths allow it.
    #[must_use]
    pub fn new(out: ReportWriter, columns: usize, color: bool) -> Summary {
        Summary {
            out,
            columns,
            paint: Paint { color },
            model: RunModel::default(),
        }
    }
}

impl Reporter for Summary {
    fn name(&self) -> &'static str {
        "summary"
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.model.fold(event);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let text = render(&self.model, self.columns, self.paint);
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// The whole summary; empty for a run without variants.
#[must_use]
pub fn render(model: &RunModel, columns: usize, paint: Paint) -> String {
    if model.variants.is_empty() {
        return String::new();
    }
    let steps = steps(model);
    let table = table(model, &steps, paint);
    let mut lines = if table.iter().all(|line| width(line) <= columns) {
        table
    } else {
        blocks(model, columns, paint)
    };
    lines.push(String::new());
    lines.push(paint.bold(&model.totals()));
    let next = next_steps(model);
    if !next.is_empty() {
        lines.push(String::new());
        lines.extend(next);
    }
    // The empty line separates it from the lines of the run.
    format!("\n{}\n", lines.join("\n"))
}

/// The kinds of steps in the plan, in its order.
pub(super) fn steps(model: &RunModel) -> Vec<&str> {
    let mut steps: Vec<&str> = Vec::new();
    for node in &model.nodes {
        if !steps.contains(&node.step.as_str()) {
            steps.push(&node.step);
        }
    }
    steps
}

/// The duration of a variant's step.
pub(super) fn step_time(model: &RunModel, variant: &VariantView, step: &str) -> Option<String> {
    model
        .nodes_of(variant)
        .find(|node| node.step == step)
        .and_then(NodeView::seconds)
        .map(numbers::duration)
}

/// The step at which a variant failed and the reason, on one line.
pub(super) fn reason(model: &RunModel, variant: &VariantView) -> Option<String> {
    let node = model.culprit(variant)?;
    let Phase::Done { why, .. } = &node.phase else {
        return None;
    };
    let why = why.as_deref().unwrap_or(NO_REASON);
    let first = why.lines().next().unwrap_or("");
    Some(clean(&format!("{}: {first}", node.verb()), Colors::Drop))
}

fn tone(standing: Standing) -> Tone {
    match standing {
        Standing::Done | Standing::Unchanged => Tone::Good,
        Standing::Failed | Standing::Refused => Tone::Bad,
        Standing::Cancelled => Tone::Warn,
        Standing::NotRun | Standing::Running | Standing::Waiting => Tone::Quiet,
    }
}

fn table(model: &RunModel, steps: &[&str], paint: Paint) -> Vec<String> {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Disabled);
    if paint.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let heads = ["variant", "result"]
        .into_iter()
        .chain(steps.iter().copied())
        .chain(["size", "artifact, hash and store path"]);
    table.set_header(heads.map(|head| {
        let cell = Cell::new(head).add_attribute(Attribute::Bold);
        if steps.contains(&head) || head == "size" {
            cell.set_alignment(CellAlignment::Right)
        } else {
            cell
        }
    }));
    let names = name_width(model);
    for variant in &model.variants {
        let mut row = vec![
            Cell::new(clean(&variant.key, Colors::Drop)),
            colored(model.word(variant), tone(model.standing(variant))),
        ];
        for step in steps {
            let time = step_time(model, variant, step);
            let text = time.as_deref().unwrap_or(EMPTY_CELL);
            row.push(Cell::new(text).set_alignment(CellAlignment::Right));
        }
        let (sizes, artifacts) = artifact_cells(model, variant, names);
        row.push(Cell::new(sizes).set_alignment(CellAlignment::Right));
        row.push(Cell::new(artifacts));
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn colored(text: &str, tone: Tone) -> Cell {
    let cell = Cell::new(text);
    match tone {
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Bad => cell.fg(Color::DarkRed),
        Tone::Warn => cell.fg(Color::DarkYellow),
        Tone::Quiet | Tone::Normal | Tone::Child => cell,
    }
}

fn name_width(model: &RunModel) -> usize {
    model
        .variants
        .iter()
        .flat_map(|variant| &variant.artifacts)
        .map(|artifact| width(&artifact.name))
        .max()
        .unwrap_or(0)
}

/// The cells for sizes and for artifacts, with equal numbers of lines.
fn artifact_cells(model: &RunModel, variant: &VariantView, names: usize) -> (String, String) {
    let mut sizes = Vec::new();
    let mut lines = Vec::new();
    if let Some(reason) = reason(model, variant) {
        sizes.push(EMPTY_CELL.to_owned());
        lines.push(reason);
    }
    for artifact in &variant.artifacts {
        sizes.push(numbers::bytes(artifact.bytes));
        let name = clean(&artifact.name, Colors::Drop);
        lines.push(format!("{}  {}", pad(&name, names), hash(artifact)));
        if let Some(path) = &artifact.store_path {
            sizes.push(String::new());
            lines.push(clean(path, Colors::Drop));
        }
    }
    if lines.is_empty() {
        sizes.push(EMPTY_CELL.to_owned());
        lines.push(EMPTY_CELL.to_owned());
    }
    (sizes.join("\n"), lines.join("\n"))
}

/// The hash in Nix's notation: algorithm, colon, base32.
fn hash(artifact: &ArtifactView) -> String {
    clean(&format!("sha256:{}", artifact.nix32), Colors::Drop)
}

fn blocks(model: &RunModel, columns: usize, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let keys = model.key_width();
    for variant in &model.variants {
        let key = clean(&variant.key, Colors::Drop);
        let key = if width(&key) > keys {
            key
        } else {
            pad(&key, keys)
        };
        let word = model.word(variant);
        lines.push(format!(
            "{}  {}",
            paint.bold(&key),
            paint.tone(tone(model.standing(variant)), word)
        ));
        if let Some(reason) = reason(model, variant) {
            lines.push(format!("  {reason}"));
        }
        let times: Vec<String> = model
            .nodes_of(variant)
            .filter_map(|node| {
                let time = numbers::duration(node.seconds()?);
                Some(format!("{} {time}", node.verb()))
            })
            .collect();
        if !times.is_empty() {
            lines.push(format!("  {}", times.join(", ")));
        }
        for artifact in &variant.artifacts {
            let name = clean(&artifact.name, Colors::Drop);
            let head = format!("  {name}  {}", numbers::bytes(artifact.bytes));
            let hash = hash(artifact);
            if width(&head) + 2 + width(&hash) <= columns {
                lines.push(format!("{head}  {hash}"));
            } else {
                lines.push(head);
                lines.push(format!("    {hash}"));
            }
            if let Some(path) = &artifact.store_path {
                lines.push(format!("    {}", clean(path, Colors::Drop)));
            }
        }
    }
    lines
}

/// The logs of the failures, and the command that retries or resumes the run.
pub(super) fn next_steps(model: &RunModel) -> Vec<String> {
    let mut lines = Vec::new();
    let mut again = Vec::new();
    for variant in &model.variants {
        let Some(node) = model.culprit(variant) else {
            continue;
        };
        let key = clean(&variant.key, Colors::Drop);
        if let Some(log) = &node.log {
            lines.push(format!("log of {key}: {}", clean(log, Colors::Drop)));
        }
        again.push(variant.key.as_str());
    }
    if !again.is_empty() {
        lines.push(format!("retry: {}", command(model, &again)));
    } else if model.end.is_some_and(|end| {
        matches!(
            end.outcome,
            RunOutcome::Interrupted | RunOutcome::Terminated
        )
    }) {
        lines.push(format!("resume: {}", command(model, &[])));
    }
    lines
}

/// The command line of this run, restricted to `variants` if there are any.
fn command(model: &RunModel, variants: &[&str]) -> String {
    let mut words = vec!["isar-build-all".to_owned()];
    let mut arguments = model.args.iter();
    while let Some(argument) = arguments.next() {
        let selects = |name: &str| {
            argument
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        if !variants.is_empty() && (selects("--variant") || selects("--machine")) {
            if !argument.contains('=') {
                arguments.next();
            }
            continue;
        }
        words.push(shell_word(&clean(argument, Colors::Drop)));
    }
    for variant in variants {
        words.push("--variant".to_owned());
        words.push(shell_word(&clean(variant, Colors::Drop)));
    }
    words.join(" ")
}

/// A word quoted for a POSIX shell where it has to be.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_word_quotes_what_a_shell_would_split_or_expand() {
        assert_eq!(shell_word("qemuamd64/base"), "qemuamd64/base");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word("*"), "'*'");
        assert_eq!(shell_word(""), "''");
    }
}
