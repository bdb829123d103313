//! Finds the files that a capture takes, and looks at each before any is read. Blocks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Provenance, Source, StepContext, StepResult, fail, gate};
use crate::files::PathError;
use crate::model::matrix::{Artifact, VariantKey};
use crate::settings::Gate;
use crate::state::records::{Records, RecordsError};
use crate::steps::{deploy, freshness, gates};
use crate::store::copy::{self, Stamp};

/// Similar names that a message about a missing file lists.
const SIMILAR: usize = 5;

/// Finds the files and looks at each, so that everything that is wrong is said at once.
pub(super) fn find(
    ctx: &StepContext,
    build_dir: &Path,
    provenance: &Provenance,
) -> Result<Vec<Source>, StepResult> {
    let variant = &ctx.variant;
    let names: Vec<&str> = variant
        .artifacts
        .iter()
        .map(|artifact| artifact.deploy_name.as_str())
        .collect();
    let deploy_dir = deploy::find(build_dir, &variant.key.machine, &names)
        .map_err(|error| fail(&error, Some(error.hint())))?;
    let mut sources = Vec::new();
    let mut faults = Vec::new();
    let mut shapes = Vec::new();
    let mut missing = Vec::new();
    let mut hint = None;
    for artifact in &variant.artifacts {
        let path = deploy_dir.join(&artifact.deploy_name);
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if artifact.optional {
                    let message =
                        format!("no {} in {}", artifact.deploy_name, deploy_dir.display());
                    let hint =
                        format!("it is optional; {} is not registered", artifact.unique_name);
                    ctx.events.warn(Some(&ctx.node), message, Some(hint));
                } else {
                    missing.push(artifact.deploy_name.as_str());
                }
            }
            Err(error) => faults.push(PathError::on("read", &path)(error).to_string()),
            Ok(metadata) => match copy::regular(&path, &metadata) {
                Err(error) => {
                    shapes.push(error.to_string());
                    hint = error.hint();
                }
                Ok(()) if metadata.len() == 0 => {
                    shapes.push(format!("{} is empty", path.display()));
                    hint = hint.or_else(|| Some("see in the log what wrote it".to_owned()));
                }
                Ok(()) => sources.push((artifact.clone(), path)),
            },
        }
    }
    if !missing.is_empty() {
        faults.insert(
            0,
            format!("{} has no {}", deploy_dir.display(), missing.join(", no ")),
        );
        let similar = similar(&deploy_dir, &missing, &names);
        hint = Some(if similar.is_empty() {
            "see in the log whether the image task ran".to_owned()
        } else {
            format!(
                "there are {}; if one is meant, correct naming.deploy_name or the artifact's extension",
                similar.join(", ")
            )
        });
    }
    if !shapes.is_empty() {
        faults.extend(shapes);
        return Err(gate::refuse(ctx, Gate::Shape, faults.join("; "), hint));
    }
    if !faults.is_empty() {
        return Err(fail(faults.join("; "), hint));
    }
    let mut found = Vec::with_capacity(sources.len());
    for (artifact, path) in sources {
        gate::wait_until_readable(ctx, &path)?;
        found.push(settled(artifact, path).map_err(|error| fail(&error, error.hint()))?);
    }
    check_provenance(ctx, build_dir, &found, provenance)?;
    Ok(found)
}

/// A source in a state from which any later change is sure to show.
fn settled(artifact: Artifact, path: PathBuf) -> Result<Source, PathError> {
    let look = || {
        path.symlink_metadata()
            .map(|metadata| Stamp::of(&metadata))
            .map_err(PathError::on("read", &path))
    };
    let mut stamp = look()?;
    if let Some(wait) = freshness::until_a_change_shows([&stamp], SystemTime::now()) {
        std::thread::sleep(wait);
        stamp = look()?;
    }
    Ok(Source {
        artifact,
        path,
        stamp,
    })
}

/// Files that could have been meant: a name that begins alike, or nearly the same.
fn similar(deploy_dir: &Path, missing: &[&str], declared: &[&str]) -> Vec<String> {
    let mut scored: Vec<(f64, String)> = fs::read_dir(deploy_dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !declared.contains(&name.as_str()))
        .map(|name| {
            let best = missing
                .iter()
                .map(|wanted| strsim::jaro_winkler(wanted, &name))
                .fold(0.0, f64::max);
            (best, name)
        })
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.cmp(right)));
    scored
        .into_iter()
        .take(SIMILAR)
        .map(|(_, name)| name)
        .collect()
}

fn check_provenance(
    ctx: &StepContext,
    build_dir: &Path,
    sources: &[Source],
    provenance: &Provenance,
) -> Result<(), StepResult> {
    let Provenance::Recorded(records) = provenance else {
        return Ok(());
    };
    if gates::skipped(ctx, Gate::Freshness) {
        gates::warn_skipped(ctx, Gate::Freshness);
        return Ok(());
    }
    let key = &ctx.variant.key;
    let mut faults = Vec::new();
    for Source {
        artifact,
        path,
        stamp,
    } in sources
    {
        let owner = recorded_owner(records, build_dir, &artifact.deploy_name, stamp)
            .map_err(|error| fail(&error, error.hint()))?;
        match owner {
            Some(owner) if owner == *key => {}
            Some(owner) => faults.push(format!("{} is {owner}'s", path.display())),
            None => faults.push(format!("no record says whose {} is", path.display())),
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let hint = format!(
        "build it (isar-build-all --variant {key}), or say that the files are {key}'s: --adopt"
    );
    let why = faults.join("; ");
    Err(gate::refuse(ctx, Gate::Freshness, why, Some(hint)))
}

/// Whose a file is: of the last build that may have deployed it, if that ended well and left it in
/// this very state.
fn recorded_owner(
    records: &Records,
    build_dir: &Path,
    deploy_name: &str,
    stamp: &Stamp,
) -> Result<Option<VariantKey>, RecordsError> {
    if records.owner_of_deploy(build_dir, deploy_name)?.is_none() {
        return Ok(None);
    }
    records.owner_of_state(build_dir, deploy_name, stamp)
}
