//! Capture: takes what a build deployed, under its unique names, and hashes it. Needs the build
//! directory of a build that has ended; leaves complete files in the staging directory
//! `<output-dir>/<machine>/.captured/<run>/<id>/`, and says in the handover what they are.

pub(in crate::steps) mod gate;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{StepContext, StepResult, StopLevel, deploy, gates};
use crate::files::{PathError, create_dir, parent, remove};
use crate::model::event::{EventKind, How};
use crate::model::matrix::{Artifact, VariantKey};
use crate::model::{nix32, store_path};
use crate::settings::Gate;
use crate::state::journal::Entry;
use crate::state::records::{Records, RecordsError};
use crate::store::copy::{self, CopyError, Stamp};
use crate::store::hashing::Want;
use crate::store::{Captured, StoreError};

/// Files of one variant that are copied at the same time.
const AT_ONCE: usize = 4;

/// Similar names that a message about a missing file lists.
const SIMILAR: usize = 5;

/// How we know whose the files in the deploy directory are.
#[derive(Debug, Clone)]
pub enum Provenance {
    /// This run built them just now, and the handover says what lay there before.
    Built(Arc<Records>),
    /// Only what the records say is the variant's is taken (`--rename-existing`).
    Recorded(Arc<Records>),
    /// The user says so (`--adopt`).
    Adopted,
}

/// Captures every declared artifact of the variant, or none.
pub async fn capture(
    ctx: &StepContext,
    build_dir: &Path,
    provenance: &Provenance,
    want: Want,
) -> StepResult {
    let ctx = ctx.clone();
    let prepared = {
        let (ctx, build_dir, provenance) = (ctx.clone(), build_dir.to_owned(), provenance.clone());
        blocking(move || prepare(&ctx, &build_dir, &provenance)).await
    };
    let sources = match prepared {
        Ok(Ok(sources)) => sources,
        Ok(Err(failure)) | Err(failure) => return failure,
    };
    match copy_all(&ctx, sources, want).await {
        Ok(copied) => {
            if let Err(failure) = proven(&ctx, build_dir, provenance, &copied).await {
                return failure;
            }
            for (captured, how) in &copied {
                ctx.events.emit(artifact_event(&ctx, captured, None, *how));
            }
            let captured = copied.into_iter().map(|(captured, _)| captured).collect();
            ctx.handover.put(ctx.variant.key.clone(), captured);
            StepResult::succeeded()
        }
        Err(failure) => failure,
    }
}

/// Runs the gates; what they refuse is not kept.
async fn proven(
    ctx: &StepContext,
    build_dir: &Path,
    provenance: &Provenance,
    copied: &[Copied],
) -> Result<(), StepResult> {
    let captured: Vec<Captured> = copied.iter().map(|(one, _)| one.clone()).collect();
    let (ctx, build_dir, provenance) = (ctx.clone(), build_dir.to_owned(), provenance.clone());
    blocking(move || {
        let fresh = match &provenance {
            Provenance::Built(records) => gate::freshness(&ctx, records, &build_dir, &captured),
            Provenance::Recorded(_) | Provenance::Adopted => Ok(()),
        };
        fresh
            .and_then(|()| gates::check(&ctx, &captured))
            .inspect_err(|_| clear_staging(&ctx, &captured))
    })
    .await
    .flatten()
}

/// The staging directory of a variant. It is this run's own, so that two runs cannot exchange each
/// other's captures, the variant's own, so that another's end does not take it away while it is written
/// to, and on the output directory's file system.
pub(super) fn staging(ctx: &StepContext) -> PathBuf {
    staging_of_run(ctx).join(&ctx.variant.key.id)
}

fn staging_of_run(ctx: &StepContext) -> PathBuf {
    output_dir(ctx).join(".captured").join(&ctx.run)
}

/// Says in the journal where captures go, before the first byte is there.
pub(super) fn journal_staging(ctx: &StepContext) -> Result<(), StepResult> {
    ctx.intend(&Entry::Capturing {
        run: ctx.run.clone(),
        variant: ctx.variant.key.clone(),
        staging: staging(ctx),
    })
}

/// Removes captures that are registered or given up, and their staging directory.
pub(super) fn clear_staging(ctx: &StepContext, captured: &[Captured]) {
    for one in captured.iter().filter(|one| one.staged) {
        if let Err(error) = remove(&one.path) {
            ctx.events
                .warn(Some(&ctx.node), error.to_string(), error.hint());
        }
    }
    // The variant's own; then the run's and what holds them all, where nobody else has anything there.
    let run = staging_of_run(ctx);
    for dir in [&staging(ctx), &run, parent(&run)] {
        if fs::remove_dir(dir).is_err() {
            break;
        }
    }
}

/// Where a variant's output entries are.
pub(super) fn output_dir(ctx: &StepContext) -> PathBuf {
    let machine = &ctx.variant.key.machine;
    ctx.settings.output_dir.value.join(machine)
}

/// Runs blocking work; a panic in it is a failure with its text.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StepResult> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StepResult::failed(format!("internal fault: {error}")))
}

pub(super) fn fail(why: impl std::fmt::Display, hint: Option<String>) -> StepResult {
    let mut failure = StepResult::failed(why.to_string());
    failure.hint = hint;
    failure
}

/// Whether the run is to be killed; asked between chunks.
pub(super) fn killed(ctx: &StepContext) -> impl Fn() -> bool + Send + Sync + 'static {
    let stop = ctx.stop.clone();
    move || *stop.borrow() == StopLevel::Kill
}

pub(super) fn artifact_event(
    ctx: &StepContext,
    captured: &Captured,
    store_path: Option<&Path>,
    how: How,
) -> EventKind {
    EventKind::Artifact {
        node: ctx.node.clone(),
        variant: ctx.variant.key.to_string(),
        artifact_type: captured.kind.clone(),
        name: captured.unique_name.clone(),
        bytes: captured.bytes,
        sha256: store_path::hex(&captured.sha256),
        nix32: nix32::encode(&captured.sha256),
        store_path: store_path.map(|path| path.display().to_string()),
        how,
    }
}

/// Finds the files and looks at each, so that everything that is wrong is said at once.
fn prepare(
    ctx: &StepContext,
    build_dir: &Path,
    provenance: &Provenance,
) -> Result<Vec<(Artifact, PathBuf)>, StepResult> {
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
    for (_, path) in &sources {
        gate::wait_until_readable(ctx, path)?;
    }
    check_provenance(ctx, build_dir, &sources, provenance)?;
    Ok(sources)
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
    sources: &[(Artifact, PathBuf)],
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
    for (artifact, path) in sources {
        let owner = recorded_owner(records, build_dir, &artifact.deploy_name, path)
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
    path: &Path,
) -> Result<Option<VariantKey>, RecordsError> {
    let Ok(metadata) = path.symlink_metadata() else {
        return Ok(None);
    };
    if records.owner_of_deploy(build_dir, deploy_name)?.is_none() {
        return Ok(None);
    }
    records.owner_of_state(build_dir, deploy_name, &Stamp::of(&metadata))
}

type Copied = (Captured, How);

/// Copies all, or leaves nothing.
async fn copy_all(
    ctx: &StepContext,
    sources: Vec<(Artifact, PathBuf)>,
    want: Want,
) -> Result<Vec<Copied>, StepResult> {
    let staging = staging(ctx);
    journal_staging(ctx)?;
    create_dir(&staging).map_err(|error| fail(&error, error.hint()))?;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for (place, (artifact, source)) in sources.into_iter().enumerate() {
        let dest = staging.join(&artifact.unique_name);
        let (stop, places) = (killed(ctx), Arc::clone(&places));
        tasks.spawn(async move {
            // It is never closed, so there is always a permit in the end.
            let _permit = places.acquire_owned().await.ok();
            let copied = blocking(move || copy_one(&artifact, &source, dest, want, &stop)).await;
            (place, copied)
        });
    }
    let mut done = Vec::new();
    let mut failures = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((place, Ok(Ok(copied)))) => done.push((place, copied)),
            Ok((place, Ok(Err(error)))) => failures.push((place, gate::of_copy(ctx, &error))),
            Ok((place, Err(failure))) => failures.push((place, failure)),
            Err(error) => {
                failures.push((usize::MAX, fail(format!("internal fault: {error}"), None)))
            }
        }
    }
    failures.sort_by_key(|(place, _)| *place);
    if let Some((_, failure)) = failures.into_iter().next() {
        let done: Vec<Captured> = done
            .into_iter()
            .map(|(_, (captured, _))| captured)
            .collect();
        clear_staging(ctx, &done);
        return Err(failure);
    }
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, copied)| copied).collect())
}

pub(super) fn of_copy(error: &CopyError) -> StepResult {
    match error {
        CopyError::Stopped(_) => StepResult::cancelled(),
        _ => fail(error, error.hint()),
    }
}

pub(super) fn of_store(error: StoreError) -> StepResult {
    match error {
        StoreError::Copy(error) => of_copy(&error),
        error => fail(&error, error.hint()),
    }
}

pub(super) fn copy_one(
    artifact: &Artifact,
    source: &Path,
    dest: PathBuf,
    want: Want,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Copied, CopyError> {
    let (hashed, how) = copy::copy(source, &dest, None, want, stop)?;
    let captured = Captured {
        kind: artifact.kind.clone(),
        unique_name: artifact.unique_name.clone(),
        deploy_name: artifact.deploy_name.clone(),
        path: dest,
        bytes: hashed.stamp.bytes,
        sha256: hashed.sums.sha256,
        nar_sha256: hashed.sums.nar_sha256,
        staged: true,
        source: hashed.stamp,
    };
    Ok((captured, how))
}
