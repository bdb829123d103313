//! Capture: takes what a build deployed, under its unique names, and hashes it. Needs the build
//! directory of a build that has ended; says in the handover what the files are and where.
//!
//! A store that takes files from where they lie gets them in the same step ([`in_place`]); for any other
//! they are copied first ([`copying`]), into `<output-dir>/<machine>/.captured/<run>/<id>/` or a directory in
//! the store itself.

mod copying;
pub(in crate::steps) mod gate;
mod in_place;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Captures, StepContext, StepResult, StopLevel, compress};
use crate::files::remove;
use crate::model::event::{EventKind, How};
use crate::model::matrix::Artifact;
use crate::model::{nix32, store_path};
use crate::state::journal::Entry;
use crate::state::records::Records;
use crate::store::copy::{CopyError, Stamp};
use crate::store::{Captured, Hold, Store, StoreError, Taking};

pub(super) use copying::copy_one;

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

impl Provenance {
    fn records(&self) -> Option<&Arc<Records>> {
        match self {
            Provenance::Built(records) | Provenance::Recorded(records) => Some(records),
            Provenance::Adopted => None,
        }
    }
}

/// A deployed file that is to be captured.
#[derive(Debug, Clone)]
struct Source {
    artifact: Artifact,
    path: PathBuf,
    /// The state in which it was found.
    stamp: Stamp,
}

/// What a capture works on.
#[derive(Clone)]
struct Capture {
    ctx: StepContext,
    build_dir: PathBuf,
    provenance: Provenance,
    store: Arc<Store>,
}

/// A captured file, and how.
type Taken = (Captured, How);

/// Captures every declared artifact of the variant, or none.
pub async fn capture(
    ctx: &StepContext,
    build_dir: &Path,
    provenance: &Provenance,
    store: &Arc<Store>,
) -> StepResult {
    let capture = Capture {
        ctx: ctx.clone(),
        build_dir: build_dir.to_owned(),
        provenance: provenance.clone(),
        store: Arc::clone(store),
    };
    match capture.hand_over().await {
        Ok(captures) => {
            ctx.handover.put(ctx.variant.key.clone(), captures);
            StepResult::succeeded()
        }
        Err(failure) => failure,
    }
}

impl Capture {
    async fn hand_over(self) -> Result<Captures, StepResult> {
        let ctx = self.ctx.clone();
        let staging = staging(&ctx, &self.store);
        let (taken, hold) = self.take().await?;
        blocking(move || {
            let captured: Vec<Captured> = taken.iter().map(|(one, _)| one.clone()).collect();
            let data = compress::look(&ctx, &captured)
                .inspect_err(|_| clear_staging(&ctx, &staging, &captured))?;
            for (one, how) in &taken {
                ctx.events.emit(artifact_event(&ctx, one, None, *how));
            }
            Ok(Captures {
                captured,
                hold,
                data,
                ..Captures::default()
            })
        })
        .await
        .flatten()
    }

    async fn take(self) -> Result<(Vec<Taken>, Option<Arc<Hold>>), StepResult> {
        let sources = {
            let this = self.clone();
            blocking(move || sources::find(&this.ctx, &this.build_dir, &this.provenance)).await??
        };
        match self.store.taking(&self.ctx.run) {
            Taking::InPlace(program) => {
                let (taken, hold) = in_place::take(&self, sources, &program).await?;
                Ok((taken, Some(hold)))
            }
            Taking::Staged(_) => copying::take(&self, sources).await,
        }
    }
}

/// Does blocking work for each source, at the same time where the run has places for it. What succeeded comes in the order of the
/// sources, and the failure of the first that failed.
async fn all<T: Send + 'static>(
    ctx: &StepContext,
    sources: Vec<Source>,
    work: impl Fn(Source) -> Result<T, StepResult> + Clone + Send + 'static,
) -> (Vec<T>, Result<(), StepResult>) {
    let mut tasks = JoinSet::new();
    for (place, source) in sources.into_iter().enumerate() {
        let (work, places) = (work.clone(), ctx.handover.places().clone());
        tasks.spawn(async move {
            let _taken = places.take().await;
            (place, blocking(move || work(source)).await.flatten())
        });
    }
    let mut done = Vec::new();
    let mut failures = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((place, Ok(result))) => done.push((place, result)),
            Ok((place, Err(failure))) => failures.push((place, failure)),
            Err(error) => {
                failures.push((usize::MAX, fail(format!("internal fault: {error}"), None)));
            }
        }
    }
    done.sort_by_key(|(place, _)| *place);
    failures.sort_by_key(|(place, _)| *place);
    let done = done.into_iter().map(|(_, result)| result).collect();
    let failed = match failures.into_iter().next() {
        Some((_, failure)) => Err(failure),
        None => Ok(()),
    };
    (done, failed)
}

/// Where a variant's files are copied to. It is this run's own, so that two runs cannot exchange each
/// other's captures, the variant's own, so that another's end does not take it away while it is written
/// to, and on the file system where they end.
pub(super) fn staging(ctx: &StepContext, store: &Store) -> PathBuf {
    let key = &ctx.variant.key;
    match store.taking(&ctx.run) {
        Taking::Staged(Some(dir)) => dir.join(&key.machine).join(&key.id),
        Taking::Staged(None) | Taking::InPlace(_) => output_dir(ctx)
            .join(".captured")
            .join(&ctx.run)
            .join(&key.id),
    }
}

/// Keeps the collector away where files are staged in the store itself: to it they are garbage.
pub(super) fn hold_staging(
    ctx: &StepContext,
    store: &Store,
) -> Result<Option<Arc<Hold>>, StepResult> {
    match store.taking(&ctx.run) {
        Taking::Staged(Some(_)) => {
            let hold = store.hold_until(killed(ctx)).map_err(of_store)?;
            Ok(Some(Arc::new(hold)))
        }
        Taking::Staged(None) | Taking::InPlace(_) => Ok(None),
    }
}

/// Says in the journal where captures go, before the first byte is there.
pub(super) fn journal_staging(ctx: &StepContext, staging: &Path) -> Result<(), StepResult> {
    ctx.intend(&Entry::Capturing {
        run: ctx.run.clone(),
        variant: ctx.variant.key.clone(),
        staging: staging.to_owned(),
    })
}

/// Removes captures that are registered or given up, and their staging directory.
pub(super) fn clear_staging(ctx: &StepContext, staging: &Path, captured: &[Captured]) {
    for one in captured.iter().filter(|one| one.staged) {
        if let Err(error) = remove(&one.path) {
            ctx.events
                .warn(Some(&ctx.node), error.to_string(), error.hint());
        }
    }
    // The variant's own; then the two above, where nobody else has anything there.
    for dir in staging.ancestors().take(3) {
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
