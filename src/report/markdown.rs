//! The job summary in Markdown, shown by GitHub below a workflow run. Pure.

use crate::event::numbers;
use crate::report::run_model::{NodeView, RunModel, VariantView};
use crate::report::sanitize::{Colors, clean};
use crate::report::summary::{next_steps, reason, step_time, steps};

/// The most bytes of a summary. GitHub allows 1 MiB for all summaries of a step; the rest is for others.
const MOST: usize = 900_000;
const EMPTY_CELL: &str = "–";

/// The summary of a run: totals, a table of the variants, failures with their last lines of output, warnings.
#[must_use]
pub fn job_summary(model: &RunModel) -> String {
    let mut text = format!("### isar-build-all: {}\n\n", cell(&model.totals()));
    if !model.variants.is_empty() {
        let mut table = head(&steps(model));
        for variant in &model.variants {
            rows(&mut table, model, variant);
        }
        push(&mut text, &table);
    }
    for variant in &model.variants {
        if let Some(node) = model.culprit(variant) {
            push(&mut text, &failure(model, variant, node));
        }
    }
    if !model.warnings.is_empty() {
        let mut list = "\n#### Warnings\n\n".to_owned();
        for warning in &model.warnings {
            let about = warning
                .variant
                .as_ref()
                .map_or(String::new(), |key| format!("`{}`: ", code(key)));
            list.push_str(&format!("- {about}{}\n", cell(&warning.message)));
        }
        push(&mut text, &list);
    }
    let next = next_steps(model);
    if !next.is_empty() {
        push(&mut text, &format!("\n{}", fenced(&next)));
    }
    text
}

/// Adds a part if it fits whole, so that no table or fence stays open.
fn push(text: &mut String, part: &str) {
    if text.len() + part.len() <= MOST {
        text.push_str(part);
    }
}

fn head(steps: &[&str]) -> String {
    let mut names = vec!["variant", "result"];
    names.extend(steps);
    names.extend(["artifact", "size", "sha256 (Nix base32)", "store path"]);
    let mut rules = vec!["---", "---"];
    rules.extend(steps.iter().map(|_| "---:"));
    rules.extend(["---", "---:", "---", "---"]);
    format!("| {} |\n| {} |\n", names.join(" | "), rules.join(" | "))
}

/// One row for each artifact; the first one also has the columns of the variant.
fn rows(table: &mut String, model: &RunModel, variant: &VariantView) {
    let steps = steps(model);
    let mut first = vec![
        format!("`{}`", code(&variant.key)),
        format!("{} {}", mark(model, variant), model.word(variant)),
    ];
    first.extend(
        steps
            .iter()
            .map(|step| step_time(model, variant, step).unwrap_or_else(|| EMPTY_CELL.to_owned())),
    );
    let mut own = Some(first);
    let mut row = |cells: [String; 4]| {
        let mut all = own
            .take()
            .unwrap_or_else(|| vec![String::new(); 2 + steps.len()]);
        all.extend(cells);
        table.push_str(&format!("| {} |\n", all.join(" | ")));
    };
    let nothing = || EMPTY_CELL.to_owned();
    if let Some(reason) = reason(model, variant) {
        row([cell(&reason), nothing(), nothing(), nothing()]);
    } else if variant.artifacts.is_empty() {
        row([nothing(), nothing(), nothing(), nothing()]);
    }
    for artifact in &variant.artifacts {
        row([
            format!("`{}`", code(&artifact.name)),
            numbers::bytes(artifact.bytes),
            format!("`{}`", code(&artifact.nix32)),
            artifact
                .store_path
                .as_ref()
                .map_or_else(nothing, |path| format!("`{}`", code(path))),
        ]);
    }
}

fn mark(model: &RunModel, variant: &VariantView) -> &'static str {
    use crate::report::run_model::Standing;
    match model.standing(variant) {
        Standing::Done | Standing::Unchanged => "✅",
        Standing::Failed | Standing::Refused => "❌",
        Standing::Cancelled => "⏹️",
        Standing::NotRun | Standing::Running | Standing::Waiting => "⏭️",
    }
}

fn failure(model: &RunModel, variant: &VariantView, node: &NodeView) -> String {
    let why = reason(model, variant).unwrap_or_default();
    let mut text = format!(
        "\n<details><summary><code>{}</code>: {}</summary>\n\n",
        html(&variant.key),
        html(&why)
    );
    let lines: Vec<String> = node
        .tail
        .iter()
        .map(|line| clean(line, Colors::Drop))
        .collect();
    if lines.is_empty() {
        text.push_str("No output.\n");
    } else {
        text.push_str(&fenced(&lines));
    }
    text.push_str("\n</details>\n");
    text
}

/// Lines as a code block, with a fence longer than any run of backticks in them.
fn fenced(lines: &[String]) -> String {
    let longest = lines
        .iter()
        .flat_map(|line| line.split(|c| c != '`'))
        .map(str::len)
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", lines.join("\n"))
}

/// Text for a cell or a list item: one line, with its markup escaped.
fn cell(text: &str) -> String {
    let text = clean(&text.replace('\n', " "), Colors::Drop);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // `@` would make a mention.
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Text for a code span in a cell.
fn code(text: &str) -> String {
    clean(text, Colors::Drop)
        .replace('`', "'")
        .replace('|', "\\|")
}

fn html(text: &str) -> String {
    clean(text, Colors::Drop)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
