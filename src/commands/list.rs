//! `--list`: the variants, as a table or as JSON.

use comfy_table::{Table, presets};

use crate::base::failure::Failure;
use crate::commands::output::json;
use crate::event::numbers;
use crate::matrix::Matrix;
use crate::plan::json::variants;
use crate::project::Project;
use crate::project::arguments::OutputFormat;
use crate::project::context::Context;

/// The list of the selected variants.
///
/// # Errors
/// Faults of the matrix.
pub(super) fn list(context: &Context) -> Result<String, Failure> {
    let project = Project::load(context)?;
    match context.arguments.output.format {
        OutputFormat::Text | OutputFormat::Dot => Ok(text(&project.matrix)),
        OutputFormat::Json => json(&variants(&project.matrix.variants)),
    }
}

/// The variants as aligned columns, one row for each, and their number. `-` stands for an axis that is not set.
fn text(matrix: &Matrix) -> String {
    let clash = matrix
        .axes
        .iter()
        .any(|axis| axis.eq_ignore_ascii_case("variant"));
    let mut header = vec![
        if clash { "ID" } else { "VARIANT" }.to_owned(),
        "MACHINE".to_owned(),
    ];
    header.extend(matrix.axes.iter().map(|axis| axis.to_uppercase()));
    let rows = matrix.variants.iter().map(|variant| {
        let mut row = vec![variant.key.id.as_str(), variant.key.machine.as_str()];
        row.extend(
            matrix
                .axes
                .iter()
                .map(|axis| variant.axis(axis).unwrap_or("-")),
        );
        row
    });
    let count = matrix.variants.len();
    let total = numbers::count(count, "variant");
    format!("{}\nTotal: {total}\n", columns(header, rows))
}

/// Columns two spaces apart, without borders or trailing blanks.
fn columns<'a>(header: Vec<String>, rows: impl Iterator<Item = Vec<&'a str>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header)
        .add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::arch::Arch;
    use crate::matrix::{Variant, VariantKey};

    #[test]
    fn columns_are_aligned_and_complete() {
        let variant = |machine: &str, id: &str, axes: &[(&str, &str)]| Variant {
            key: VariantKey {
                machine: machine.into(),
                id: id.into(),
            },
            arch: Arch::Amd64,
            axes: axes
                .iter()
                .map(|(axis, value)| ((*axis).into(), (*value).into()))
                .collect(),
            kas: Vec::new(),
            attr_path: Vec::new(),
            artifacts: Vec::new(),
        };
        let matrix = Matrix {
            axes: vec!["role".into(), "node".into()],
            variants: vec![
                variant("qemuamd64", "base", &[("role", "base")]),
                variant(
                    "jetson-orin-nano",
                    "server-server-1",
                    &[("role", "server"), ("node", "server-1")],
                ),
            ]
            .into(),
            releases: Vec::new(),
        };
        insta::assert_snapshot!(text(&matrix), @"
        VARIANT          MACHINE           ROLE    NODE
        base             qemuamd64         base    -
        server-server-1  jetson-orin-nano  server  server-1

        Total: 2 variants
        ");
    }
}
