//! Captures by copying into the staging directory: each file is read once and hashed in the same pass.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::create_dir;
use crate::matrix::Artifact;
use crate::steps::capture::job::{CaptureJob, SourceFile, TakenFile, for_each_source};
use crate::steps::capture::policy::Provenance;
use crate::steps::capture::staging::{capturing_entry, clear_staging, hold_staging, staging_dir};
use crate::steps::gates::freshness_gate::{FreshnessEvidence, JudgedFile};
use crate::steps::gates::inspection::InspectedFile;
use crate::steps::gates::{freshness_gate, inspection};
use crate::steps::result::StepResult;
use crate::store::copy::{CopyError, Dest, Stop};
use crate::store::hashing::Want;
use crate::store::{CaptureWay, Captured, Hold, copy};

/// Copies all sources and runs the gates on the copies, or leaves nothing.
pub(super) async fn take(
    job: &CaptureJob,
    sources: Vec<SourceFile>,
) -> Result<(Vec<TakenFile>, Option<Arc<Hold>>), StepResult> {
    let cx = &job.cx;
    let staging = staging_dir(cx);
    let hold = {
        let (job, staging) = (job.clone(), staging.clone());
        let prepare = move || {
            let hold = hold_staging(&job.cx, &job.store)?;
            job.cx
                .intend_blocking(&capturing_entry(&job.cx, &staging))?;
            create_dir(&staging).map_err(|error| StepResult::error(&error, error.hint()))?;
            Ok::<_, StepResult>(hold)
        };
        cx.blocking(prepare).await??
    };
    let (want, stop) = (job.store.want(), Arc::new(cx.killed()));
    // A file in the store directory is worth nothing without its row in the database, so it needs no sync.
    let synced = !matches!(job.store.capture_way(&cx.run), CaptureWay::Staged(Some(_)));
    let copy = {
        let (cx, staging) = (cx.clone(), staging.clone());
        move |source: SourceFile| {
            let copy = FileCopy {
                dest: staging.join(&source.artifact.unique_name),
                synced,
                want,
            };
            copy.make(&source.artifact, &source.path, &*stop)
                .map_err(|error| freshness_gate::of_copy(&cx, &error))
        }
    };
    let (taken, copied) = for_each_source(cx, sources, copy).await;
    let captured: Vec<Captured> = taken.iter().map(|(one, _)| one.clone()).collect();
    let passed = match copied {
        Ok(()) => check(job, captured.clone()).await,
        failed => failed,
    };
    if let Err(failure) = passed {
        let cx_ = cx.clone();
        // Copies that cannot be removed now are removed by the next start.
        let _ = cx
            .blocking(move || clear_staging(&cx_, &staging, &captured))
            .await;
        return Err(failure);
    }
    Ok((taken, hold))
}

/// Runs the gates.
async fn check(job: &CaptureJob, captured: Vec<Captured>) -> Result<(), StepResult> {
    let check = {
        let job = job.clone();
        move || {
            if let Provenance::Built(records) = &job.provenance {
                let files: Vec<JudgedFile> = captured.iter().map(JudgedFile::from).collect();
                let evidence = FreshnessEvidence {
                    records,
                    build_dir: &job.build_dir,
                    snapshot: job.snapshot.as_deref(),
                };
                freshness_gate::check(&job.cx, &evidence, &files)?;
            }
            let files: Vec<InspectedFile> = captured.iter().map(InspectedFile::from).collect();
            inspection::check(&job.cx, &files)
        }
    };
    job.cx.blocking(check).await?
}

/// A copy to make.
pub(super) struct FileCopy {
    /// The path of the copy.
    pub(super) dest: PathBuf,
    /// Whether it has to survive a loss of power.
    pub(super) synced: bool,
    /// The hashes to compute.
    pub(super) want: Want,
}

impl FileCopy {
    /// Copies `source`, which is `artifact`. Blocking.
    pub(super) fn make(
        self,
        artifact: &Artifact,
        source: &Path,
        stop: Stop<'_>,
    ) -> Result<TakenFile, CopyError> {
        let dest = Dest {
            synced: self.synced,
            ..Dest::at(&self.dest)
        };
        let (hashed, how) = copy::copy(source, dest, self.want, stop)?;
        let captured = Captured {
            kind: artifact.kind.clone(),
            unique_name: artifact.unique_name.clone(),
            deploy_name: artifact.deploy_name.clone(),
            path: self.dest,
            bytes: hashed.stamp.bytes,
            sha256: hashed.sums.sha256,
            nar_sha256: hashed.sums.nar_sha256,
            staged: true,
            source: hashed.stamp,
            added: None,
        };
        Ok((captured, how))
    }
}
