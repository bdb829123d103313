//! The capture step: takes the files that a build deployed, under their unique names, and hashes them. Needs the build
//! directory of a build that has ended.
//!
//! A store that adds files from where they are gets them in this step ([`in_place`]). For other stores they are copied
//! ([`copying`]) into `<output-dir>/<machine>/.captured/<run>/<id>/` or a directory in the store.

mod copying;
mod data_ranges;
pub mod from_output;
mod in_place;
mod job;
pub mod policy;
pub mod slots;
mod sources;
pub(in crate::steps) mod staging;

use std::sync::Arc;

use crate::event::outcome::Outcome;
use crate::plan::step_info::always;
use crate::plan::{BuildDirUse, LaneSize, Scope, StepInfo, StepKind, StepLane, StepWords};
use crate::steps::artifact_event::artifact_event;
use crate::steps::capture::job::{CaptureJob, TakenFile};
use crate::steps::capture::staging::{clear_staging, staging_dir};
use crate::steps::context::StepContext;
use crate::steps::result::StepResult;
use crate::steps::step::{Step, StepFuture};
use crate::steps::variant_state::{Captures, VariantState};
use crate::store::{CaptureWay, Captured, Hold};

pub use crate::steps::capture::policy::{CapturePolicy, Provenance};

/// The step's entry in plans.
pub static INFO: StepInfo = StepInfo {
    kind: StepKind::new("capture"),
    words: StepWords {
        verb: "capture",
        past: "captured",
        doing: "capturing",
    },
    mark: 'c',
    scopes: &[Scope::Full, Scope::FromDeploy],
    applies: always,
    lanes: &[StepLane {
        name: "capture",
        size: LaneSize::Captures,
    }],
    build_dir: BuildDirUse::Reads,
    heavy: false,
    assumed_millis: 3_000,
};

/// Captures every declared artifact of the variant from its deploy directory, or none.
pub struct CaptureDeployed;

impl Step for CaptureDeployed {
    fn info(&self) -> &'static StepInfo {
        &INFO
    }

    fn run<'a>(&'a self, cx: &'a StepContext, state: &'a mut VariantState) -> StepFuture<'a> {
        Box::pin(capture(cx, state))
    }
}

async fn capture(cx: &StepContext, state: &mut VariantState) -> StepResult {
    let policy = &cx.services.capture;
    let job = CaptureJob {
        cx: cx.clone(),
        build_dir: match &policy.build_dir {
            Some(dir) => dir.clone(),
            None => cx.dirs().build,
        },
        provenance: policy.provenance.clone(),
        store: Arc::clone(&cx.services.registry.store),
        snapshot: state.deploy_snapshot.take().map(Arc::new),
    };
    let failure = match job.clone().captures().await {
        Ok(captures) => {
            state.captures = captures;
            return StepResult::succeeded();
        }
        Err(failure) => failure,
    };
    if failure.outcome == Outcome::Refused && matches!(job.provenance, Provenance::Built(_)) {
        job.record_refusal().await;
    }
    failure
}

impl CaptureJob {
    async fn captures(self) -> Result<Captures, StepResult> {
        let cx = self.cx.clone();
        let (taken, hold) = self.take().await?;
        cx.clone()
            .blocking(move || {
                let files: Vec<Captured> = taken.iter().map(|(one, _)| one.clone()).collect();
                let data = data_ranges::look_up(&cx, &files)
                    .inspect_err(|_| clear_staging(&cx, &staging_dir(&cx), &files))?;
                for (one, how) in &taken {
                    cx.events.emit(artifact_event(&cx, one, None, *how));
                }
                Ok(Captures {
                    files,
                    hold,
                    data,
                    ..Captures::default()
                })
            })
            .await?
    }

    async fn take(self) -> Result<(Vec<TakenFile>, Option<Arc<Hold>>), StepResult> {
        let job = self.clone();
        let sources = self.cx.blocking(move || sources::find(&job)).await??;
        match self.store.capture_way(&self.cx.run) {
            CaptureWay::InPlace => {
                let (taken, hold) = in_place::take(&self, sources).await?;
                Ok((taken, Some(hold)))
            }
            CaptureWay::Staged(_) => copying::take(&self, sources).await,
        }
    }

    /// The build was good and left files that a gate refuses: the next build starts in a clean directory.
    async fn record_refusal(self) {
        let cx = self.cx.clone();
        let record = move || {
            let registry = &self.cx.services.registry;
            let (dir, key) = (&self.build_dir, &self.cx.variant.key);
            let recorded = registry
                .records
                .record_build_refused(dir, key, (registry.clock)());
            if let Err(error) = recorded {
                self.cx.warn(error.to_string(), error.hint());
            }
        };
        // The step has failed anyhow.
        let _ = cx.blocking(record).await;
    }
}
