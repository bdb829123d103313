//! Captures by copying: into a directory of ours, each file read once and hashed in the same pass.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::gate::{self, Judged};
use super::{
    Capture, Provenance, Source, StepResult, Taken, all, blocking, clear_staging, fail,
    hold_staging, journal_staging, killed, staging,
};
use crate::files::create_dir;
use crate::model::matrix::Artifact;
use crate::steps::gates::{self, Subject};
use crate::store::copy::{self, CopyError, Dest};
use crate::store::hashing::Want;
use crate::store::{Captured, Hold, Taking};

/// Copies all and runs the gates on the copies, or leaves nothing.
pub(super) async fn take(
    capture: &Capture,
    sources: Vec<Source>,
) -> Result<(Vec<Taken>, Option<Arc<Hold>>), StepResult> {
    let ctx = &capture.ctx;
    let hold = {
        let (ctx, store) = (ctx.clone(), Arc::clone(&capture.store));
        blocking(move || hold_staging(&ctx, &store)).await??
    };
    let staging = staging(ctx, &capture.store);
    journal_staging(ctx, &staging)?;
    create_dir(&staging).map_err(|error| fail(&error, error.hint()))?;
    let (want, stop) = (capture.store.want(), Arc::new(killed(ctx)));
    // What goes into the store directory is worth nothing without its row in the database.
    let synced = !matches!(capture.store.taking(&ctx.run), Taking::Staged(Some(_)));
    let copy = {
        let (ctx, staging) = (ctx.clone(), staging.clone());
        move |source: Source| {
            let dest = staging.join(&source.artifact.unique_name);
            copy_one(&source.artifact, &source.path, dest, synced, want, &*stop)
                .map_err(|error| gate::of_copy(&ctx, &error))
        }
    };
    let (taken, copied) = all(ctx, sources, copy).await;
    let captured: Vec<Captured> = taken.iter().map(|(one, _)| one.clone()).collect();
    let proven = match copied {
        Ok(()) => proven(capture, captured.clone()).await,
        failed => failed,
    };
    match proven {
        Ok(()) => Ok((taken, hold)),
        Err(failure) => {
            clear_staging(ctx, &staging, &captured);
            Err(failure)
        }
    }
}

/// Runs the gates.
async fn proven(capture: &Capture, captured: Vec<Captured>) -> Result<(), StepResult> {
    let capture = capture.clone();
    blocking(move || {
        let ctx = &capture.ctx;
        if let Provenance::Built(records) = &capture.provenance {
            let judged: Vec<Judged> = captured.iter().map(Judged::from).collect();
            gate::freshness(ctx, records, &capture.build_dir, &judged)?;
        }
        let subjects: Vec<Subject> = captured.iter().map(Subject::from).collect();
        gates::check(ctx, &subjects)
    })
    .await
    .flatten()
}

/// Copies a file and says what it is.
pub(in crate::steps) fn copy_one(
    artifact: &Artifact,
    source: &Path,
    dest: PathBuf,
    synced: bool,
    want: Want,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Taken, CopyError> {
    let (hashed, how) = {
        let dest = Dest {
            synced,
            ..Dest::at(&dest)
        };
        copy::copy(source, dest, want, stop)?
    };
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
        added: None,
    };
    Ok((captured, how))
}
