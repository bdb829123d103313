//! Captures in place: each file is hashed by this process and added by the store at the same time, straight from the
//! deploy directory. No build writes there meanwhile: the step has the lane of the build directory until the store has
//! the files.
//!
//! Refusals that need no bytes come first, then the gates that look into the files while they are hashed; the store gets
//! a file when all gates have passed. A file that the store has, with the stamp that it had at its registration, is not
//! read.

use std::sync::Arc;

use crate::event::ArtifactOrigin;
use crate::state::journal::Entry;
use crate::steps::capture::job::{CaptureJob, SourceFile, TakenFile, for_each_source};
use crate::steps::capture::policy::Provenance;
use crate::steps::context::StepContext;
use crate::steps::errors::of_store;
use crate::steps::freshness;
use crate::steps::gates::freshness_gate::{FreshnessEvidence, JudgedFile};
use crate::steps::gates::inspection::InspectedFile;
use crate::steps::gates::{freshness_gate, inspection};
use crate::steps::result::StepResult;
use crate::store::hashing::{Sums, Want};
use crate::store::in_place::{FileInPlace, Go};
use crate::store::{Captured, Hold, Store, StoreError, copy};

/// A source, and its hash where the store has it already.
type KnownFile = (SourceFile, Option<[u8; 32]>);

/// Takes all sources, or none. Files that were added before another one failed have no GC root.
pub(super) async fn take(
    job: &CaptureJob,
    sources: Vec<SourceFile>,
) -> Result<(Vec<TakenFile>, Arc<Hold>), StepResult> {
    let cx = &job.cx;
    let (known, hold) = {
        let job = job.clone();
        cx.blocking(move || look_up(&job, sources)).await??
    };
    let files: Vec<InspectedFile> = known.iter().map(|(source, _)| inspected(source)).collect();
    let (unknown, known): (Vec<KnownFile>, Vec<KnownFile>) =
        known.into_iter().partition(|(_, sha256)| sha256.is_none());
    let unknown: Vec<SourceFile> = unknown.into_iter().map(|(source, _)| source).collect();
    cx.intend(Entry::Adding {
        run: cx.run.clone(),
        variant: cx.variant.key.clone(),
        store: job.store.place(),
        // Unknown before the files are hashed; the registration names them.
        store_paths: Vec::new(),
    })
    .await?;
    let go = Arc::new(Go::default());
    let gates = {
        let (cx_, go) = (cx.clone(), Arc::clone(&go));
        async move {
            let passed = cx
                .blocking(move || inspection::check(&cx_, &files))
                .await
                .flatten();
            go.say(passed.is_ok());
            passed
        }
    };
    let adder = Adder {
        cx: cx.clone(),
        store: Arc::clone(&job.store),
        hold: Arc::clone(&hold),
        go,
    };
    let adding = for_each_source(cx, unknown, move |source| adder.add(&source));
    let (passed, (mut taken, added)) = tokio::join!(gates, adding);
    if let Err(failure) = passed.and(added) {
        cx.note(Entry::Added {
            run: cx.run.clone(),
            variant: cx.variant.key.clone(),
        })
        .await;
        return Err(failure);
    }
    taken.extend(known.into_iter().filter_map(|(source, sha256)| {
        let sums = Sums {
            sha256: sha256?,
            nar_sha256: None,
        };
        let captured = captured(&source, sums, ArtifactOrigin::AlreadyValid);
        Some((captured, ArtifactOrigin::InPlace))
    }));
    taken.sort_by_key(|taken| {
        let mut artifacts = cx.variant.artifacts.iter();
        artifacts.position(|artifact| artifact.unique_name == taken.0.unique_name)
    });
    Ok((taken, hold))
}

/// Looks up what needs no read of new files: their freshness, and the hashes of files that the store has with the stamp
/// of their registration. Blocking.
fn look_up(
    job: &CaptureJob,
    sources: Vec<SourceFile>,
) -> Result<(Vec<KnownFile>, Arc<Hold>), StepResult> {
    let hold = Arc::new(job.store.hold_until(job.cx.killed()).map_err(of_store)?);
    let mut known = Vec::with_capacity(sources.len());
    for source in sources {
        let sha256 = registered(job, &hold, &source)?;
        known.push((source, sha256));
    }
    if let Provenance::Built(records) = &job.provenance {
        let files = known
            .iter()
            .map(|known| judged(job, known))
            .collect::<Result<Vec<_>, _>>()?;
        let evidence = FreshnessEvidence {
            records,
            build_dir: &job.build_dir,
            snapshot: job.snapshot.as_deref(),
        };
        freshness_gate::check(&job.cx, &evidence, &files)?;
    }
    Ok((known, hold))
}

/// The hash of a file that was registered with this stamp and that the store has.
fn registered(
    job: &CaptureJob,
    hold: &Hold,
    source: &SourceFile,
) -> Result<Option<[u8; 32]>, StepResult> {
    let Some(records) = job.provenance.records() else {
        return Ok(None);
    };
    let name = &source.artifact.unique_name;
    let Some(sha256) = records
        .hash_of_unchanged(name, &source.stamp)
        .map_err(|error| StepResult::error(&error, error.hint()))?
    else {
        return Ok(None);
    };
    let is_there = job.store.has_whole(hold, &sha256, name, source.stamp.bytes);
    Ok(is_there.map_err(of_store)?.then_some(sha256))
}

/// The file for the freshness gate. It is read only where nothing but its bytes can prove its owner.
fn judged(job: &CaptureJob, (source, sha256): &KnownFile) -> Result<JudgedFile, StepResult> {
    let mut sha256 = *sha256;
    let needs_bytes = job
        .snapshot
        .as_ref()
        .is_some_and(|snapshot| freshness::needs_bytes(snapshot, &source.stamp));
    if sha256.is_none() && needs_bytes {
        let hashed = copy::hash(&source.path, Want::Flat, &job.cx.killed())
            .map_err(|error| freshness_gate::of_copy(&job.cx, &error))?;
        sha256 = Some(hashed.sums.sha256);
    }
    Ok(JudgedFile {
        unique_name: source.artifact.unique_name.clone(),
        deploy_name: source.artifact.deploy_name.clone(),
        stamp: source.stamp,
        sha256,
    })
}

fn inspected(source: &SourceFile) -> InspectedFile {
    InspectedFile {
        kind: source.artifact.kind.clone(),
        unique_name: source.artifact.unique_name.clone(),
        deploy_name: source.artifact.deploy_name.clone(),
        path: source.path.clone(),
    }
}

/// Adds files to the store.
#[derive(Clone)]
struct Adder {
    cx: StepContext,
    store: Arc<Store>,
    hold: Arc<Hold>,
    go: Arc<Go>,
}

impl Adder {
    fn add(&self, source: &SourceFile) -> Result<TakenFile, StepResult> {
        let file = FileInPlace {
            source: &source.path,
            name: &source.artifact.unique_name,
            before: &source.stamp,
        };
        match self.store.add_in_place(&self.hold, &file, &self.go) {
            Ok((hashed, how)) => {
                let captured = captured(source, hashed.sums, how);
                Ok((captured, ArtifactOrigin::InPlace))
            }
            Err(StoreError::Copy(error)) => Err(freshness_gate::of_copy(&self.cx, &error)),
            Err(error) => Err(of_store(error)),
        }
    }
}

fn captured(source: &SourceFile, sums: Sums, how: ArtifactOrigin) -> Captured {
    let SourceFile {
        artifact,
        path,
        stamp,
    } = source;
    Captured {
        kind: artifact.kind.clone(),
        unique_name: artifact.unique_name.clone(),
        deploy_name: artifact.deploy_name.clone(),
        path: path.clone(),
        bytes: stamp.bytes,
        sha256: sums.sha256,
        nar_sha256: sums.nar_sha256,
        staged: false,
        source: *stamp,
        added: Some(how),
    }
}
