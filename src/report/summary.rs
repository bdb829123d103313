//! What is printed when a run has ended: a table of the variants, the totals, and what to do next.
//!
//! Where the table does not fit the width, each variant is a block of lines instead. Hashes and store
//! paths are never cut: they are there to be copied.

use std::io;

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, ContentLineStyle, LineStyle, Table,
    TableStyle,
};

use super::paint::{Paint, Tone};
use super::run_model::{ArtifactView, NodeView, RunModel, Standing, VariantView};
use super::sanitize::{Colors, clean, pad, width};
use super::{Output, Reporter, human};
use crate::model::event::Event;
use crate::model::outcome::RunOutcome;

const NOTHING: &str = "–";

/// Columns set apart by space alone, so that a line copied out of the table holds no frame.
const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('─'));

/// The summary at the end.
pub struct Summary {
    out: Output,
    columns: usize,
    paint: Paint,
    model: RunModel,
}

impl Summary {
    /// A summary on `out`, for a terminal of so many columns.
    #[must_use]
    pub fn new(out: Output, columns: usize, color: bool) -> Summary {
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

/// The whole summary; empty where there was no variant.
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
    // The empty line sets it apart from what the run wrote before.
    format!("\n{}\n", lines.join("\n"))
}

/// The steps of the plan, each once, in its order.
pub(super) fn steps(model: &RunModel) -> Vec<&str> {
    let mut steps: Vec<&str> = Vec::new();
    for node in &model.nodes {
        if !steps.contains(&node.step.as_str()) {
            steps.push(&node.step);
        }
    }
    steps
}

/// How long a step of a variant took.
pub(super) fn step_time(model: &RunModel, variant: &VariantView, step: &str) -> Option<String> {
    model
        .nodes_of(variant)
        .find(|node| node.step == step)
        .and_then(NodeView::seconds)
        .map(human::duration)
}

/// Why a variant is not done: the step and its reason, on one line.
pub(super) fn reason(model: &RunModel, variant: &VariantView) -> Option<String> {
    let node = model.culprit(variant)?;
    let super::run_model::Phase::Done { why, .. } = &node.phase else {
        return None;
    };
    let why = why.as_deref().unwrap_or("no reason was given");
    let first = why.lines().next().unwrap_or("");
    Some(clean(&format!("{}: {first}", node.step), Colors::Drop))
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
            let text = time.as_deref().unwrap_or(NOTHING);
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

/// The sizes and the artifacts, line beside line.
fn artifact_cells(model: &RunModel, variant: &VariantView, names: usize) -> (String, String) {
    let mut sizes = Vec::new();
    let mut lines = Vec::new();
    if let Some(reason) = reason(model, variant) {
        sizes.push(NOTHING.to_owned());
        lines.push(reason);
    }
    for artifact in &variant.artifacts {
        sizes.push(human::bytes(artifact.bytes));
        let name = clean(&artifact.name, Colors::Drop);
        lines.push(format!("{}  {}", pad(&name, names), hash(artifact)));
        if let Some(path) = &artifact.store_path {
            sizes.push(String::new());
            lines.push(clean(path, Colors::Drop));
        }
    }
    if lines.is_empty() {
        sizes.push(NOTHING.to_owned());
        lines.push(NOTHING.to_owned());
    }
    (sizes.join("\n"), lines.join("\n"))
}

/// The hash as Nix writes it: algorithm, colon, base32.
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
                let time = human::duration(node.seconds()?);
                Some(format!("{} {time}", node.step))
            })
            .collect();
        if !times.is_empty() {
            lines.push(format!("  {}", times.join(", ")));
        }
        for artifact in &variant.artifacts {
            let name = clean(&artifact.name, Colors::Drop);
            let head = format!("  {name}  {}", human::bytes(artifact.bytes));
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

/// What to do about what did not succeed: where to look, and the command that tries it again.
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
        lines.push(format!("again: {}", command(model, &again)));
    } else if model.end.is_some_and(|end| {
        matches!(
            end.outcome,
            RunOutcome::Interrupted | RunOutcome::Terminated
        )
    }) {
        lines.push(format!("go on: {}", command(model, &[])));
    }
    lines
}

/// The command line of this run, for `variants` alone where some are given.
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
        words.push(human::shell_word(&clean(argument, Colors::Drop)));
    }
    for variant in variants {
        words.push("--variant".to_owned());
        words.push(human::shell_word(&clean(variant, Colors::Drop)));
    }
    words.join(" ")
}
