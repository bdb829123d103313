//! `--dry-run`: what a run would do, step by step. Starts no program.

use std::fmt::Write;

use serde::Serialize;

use crate::matrix::{Variant, VariantKey};
use crate::plan::skip::{Skip, Skips};
use crate::plan::{Scope, VariantIx};
use crate::settings::ExecutorChoice;
use crate::steps::deploy_dir;

use crate::base::failure::Failure;
use crate::commands::output::json;
use crate::project::Project;
use crate::project::arguments::OutputFormat;
use crate::project::context::Context;
use crate::run::{Parts, forecast, skips};

/// The plan for one variant.
#[derive(Debug, Serialize)]
struct PlannedVariant {
    variant: VariantKey,
    /// Why it would be skipped; left out if it would be built.
    #[serde(skip_serializing_if = "Option::is_none")]
    skip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<PlannedBuild>,
    captures: Vec<PlannedCapture>,
    hashes_file: String,
}

/// The call of kas.
#[derive(Debug, Serialize)]
struct PlannedBuild {
    environment: Vec<(&'static str, String)>,
    command: String,
}

/// A file that would be captured.
#[derive(Debug, Serialize)]
struct PlannedCapture {
    deploy_name: String,
    unique_name: String,
    optional: bool,
    /// Whether the deploy directory has a file of that name now.
    present: bool,
    /// The products that would be made from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    products: Vec<String>,
}

/// The steps of each selected variant.
///
/// # Errors
/// Faults of the matrix.
pub(super) fn dry_run(context: &Context, parts: &Parts) -> Result<String, Failure> {
    let project = Project::load(context)?;
    let mode = &context.arguments.mode;
    let building = !mode.rename_existing && !mode.hash_only;
    let skips = if building {
        let plan = forecast::plan(&project, Scope::Full, parts)?;
        skips::would_skip(context, &project, &plan)?
    } else {
        Skips::none()
    };
    let variants: Vec<PlannedVariant> = project
        .matrix
        .variants
        .iter()
        .enumerate()
        .map(|(index, variant)| match skips.get(VariantIx(index)) {
            Some(skip) => unchanged_one(&project, variant, skip),
            None => would(&project, variant, building),
        })
        .collect();
    if context.arguments.output.format == OutputFormat::Json {
        return json(&serde_json::json!({ "schema": 1, "variants": variants }));
    }
    let count = variants.len();
    let mut text = String::new();
    for (index, variant) in variants.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = describe(&mut text, index + 1, count, variant, mode.hash_only);
    }
    Ok(text + "Dry run complete. Nothing was changed.\n")
}

fn unchanged_one(project: &Project, variant: &Variant, skip: &Skip) -> PlannedVariant {
    PlannedVariant {
        variant: variant.key.clone(),
        skip: Some(skip.why.clone()),
        build: None,
        captures: Vec::new(),
        hashes_file: project.relative(&project.settings.hashes_file.value),
    }
}

fn would(project: &Project, variant: &Variant, building: bool) -> PlannedVariant {
    let dirs = project.dirs(variant);
    let names: Vec<&str> = variant
        .artifacts
        .iter()
        .map(|artifact| artifact.deploy_name.as_str())
        .collect();
    let deployed = deploy_dir::find(&dirs.build, &variant.key.machine, &names).ok();
    let program = match project.settings.executor.value {
        ExecutorChoice::KasContainer => &project.settings.kas_container.value,
        ExecutorChoice::Kas => &project.settings.kas.value,
    };
    let shown = |path: &std::path::Path| project.relative(path);
    PlannedVariant {
        variant: variant.key.clone(),
        skip: None,
        build: building.then(|| PlannedBuild {
            environment: vec![
                ("KAS_WORK_DIR", shown(&dirs.work)),
                ("KAS_BUILD_DIR", shown(&dirs.build)),
                ("DL_DIR", shown(&dirs.dl)),
                ("SSTATE_DIR", shown(&dirs.sstate)),
            ],
            command: format!("{} build {}", program.display(), variant.kas_chain()),
        }),
        captures: variant
            .artifacts
            .iter()
            .map(|artifact| PlannedCapture {
                deploy_name: artifact.deploy_name.clone(),
                unique_name: artifact.unique_name.clone(),
                optional: artifact.optional,
                products: artifact
                    .products
                    .iter()
                    .map(|product| product.unique_name.clone())
                    .collect(),
                present: deployed
                    .as_ref()
                    .is_some_and(|directory| directory.join(&artifact.deploy_name).exists()),
            })
            .collect(),
        hashes_file: shown(&project.settings.hashes_file.value),
    }
}

fn describe(
    text: &mut String,
    number: usize,
    count: usize,
    variant: &PlannedVariant,
    hash_only: bool,
) -> std::fmt::Result {
    writeln!(text, "[{number}/{count}] {}", variant.variant)?;
    if let Some(why) = &variant.skip {
        return writeln!(text, "  would skip      {why}\n");
    }
    if let Some(build) = &variant.build {
        writeln!(text, "  would build     {}", build.command)?;
        for (name, value) in &build.environment {
            writeln!(text, "                  {name}={value}")?;
        }
    }
    for capture in &variant.captures {
        if !hash_only {
            let note = match (capture.present, capture.optional) {
                (true, _) => "",
                (false, false) => "  (not deployed yet)",
                (false, true) => "  (optional, not deployed yet)",
            };
            let PlannedCapture {
                deploy_name,
                unique_name,
                ..
            } = capture;
            writeln!(
                text,
                "  would capture   {deploy_name} -> {unique_name}{note}"
            )?;
        }
        for product in &capture.products {
            writeln!(text, "  would make      {product}")?;
        }
        writeln!(text, "  would register  {}", capture.unique_name)?;
    }
    writeln!(text, "  would update    {}\n", variant.hashes_file)
}
