//! `--dry-run`: what a run would do, step by step, in the words of the script's users. Nothing is run and
//! no tool is asked.

use std::fmt::Write;

use serde::Serialize;

use crate::cli::Format;
use crate::model::matrix::{Variant, VariantKey};
use crate::model::plan::{Scope, VariantIx};
use crate::model::skip::{Skip, Skips};
use crate::settings::Executor;
use crate::steps::deploy;

use super::context::Context;
use super::failure::Failure;
use super::project::Project;
use super::{json, unchanged};

/// What would be done for one variant.
#[derive(Debug, Serialize)]
struct Would {
    variant: VariantKey,
    /// Why nothing would be done; none where it would be built.
    #[serde(skip_serializing_if = "Option::is_none")]
    skip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<Build>,
    captures: Vec<Capture>,
    hashes_file: String,
}

/// How kas would be run.
#[derive(Debug, Serialize)]
struct Build {
    environment: Vec<(&'static str, String)>,
    command: String,
}

/// What would be taken.
#[derive(Debug, Serialize)]
struct Capture {
    deploy_name: String,
    unique_name: String,
    optional: bool,
    /// Whether a file of that name lies in the deploy directory now.
    present: bool,
    /// What would be made of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    products: Vec<String>,
}

/// The steps of each selected variant.
///
/// # Errors
/// Faults of the matrix.
pub fn dry_run(context: &Context) -> Result<String, Failure> {
    let project = Project::load(context)?;
    let mode = &context.cli.mode;
    let building = !mode.rename_existing && !mode.hash_only;
    let skips = if building {
        let plan = project.plan(Scope::Full)?;
        unchanged::would_skip(context, &project, &plan)?
    } else {
        Skips::none()
    };
    let variants: Vec<Would> = project
        .matrix
        .variants
        .iter()
        .enumerate()
        .map(|(index, variant)| match skips.get(VariantIx(index)) {
            Some(skip) => unchanged_one(&project, variant, skip),
            None => would(&project, variant, building),
        })
        .collect();
    if context.cli.output.format == Format::Json {
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

fn unchanged_one(project: &Project, variant: &Variant, skip: &Skip) -> Would {
    Would {
        variant: variant.key.clone(),
        skip: Some(skip.why.clone()),
        build: None,
        captures: Vec::new(),
        hashes_file: project.relative(&project.settings.hashes_file.value),
    }
}

fn would(project: &Project, variant: &Variant, building: bool) -> Would {
    let dirs = project.dirs(variant);
    let names: Vec<&str> = variant
        .artifacts
        .iter()
        .map(|artifact| artifact.deploy_name.as_str())
        .collect();
    let deployed = deploy::find(&dirs.build, &variant.key.machine, &names).ok();
    let program = match project.settings.executor.value {
        Executor::KasContainer => &project.settings.kas_container.value,
        Executor::Kas => &project.settings.kas.value,
    };
    let shown = |path: &std::path::Path| project.relative(path);
    Would {
        variant: variant.key.clone(),
        skip: None,
        build: building.then(|| Build {
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
            .map(|artifact| Capture {
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
    variant: &Would,
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
                (false, false) => "  (not there yet)",
                (false, true) => "  (optional, not there yet)",
            };
            let Capture {
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
