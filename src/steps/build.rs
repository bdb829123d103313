//! The build step: builds a variant with kas, from the disk reservation to the records of what it left.
//!
//! The step needs a build directory that no other build uses meanwhile, and leaves a deploy directory and a log, never
//! a container. Captures are not its business.

mod claim;
mod clean_dir;
pub mod command;
mod container_args;
mod directories;
mod disk_need;
pub mod disk_reservation;
mod ending;
mod kas_dump;
pub mod kas_run;
mod ledger;
mod output_listener;
pub mod services;
mod silence;
mod stopping;
mod sync_guard;
pub mod threads;
mod usage;
pub mod warm_up;
mod words;

use std::path::PathBuf;
use std::time::Instant;

use crate::matrix::VariantKey;
use crate::plan::step_info::always;
use crate::plan::{BuildDirUse, LaneSize, Scope, StepInfo, StepKind, StepLane, StepWords};
use crate::settings::Settings;
use crate::state::StateDir;
use crate::steps::build::ledger::LedgerEntry;
use crate::steps::context::StepContext;
use crate::steps::result::StepResult;
use crate::steps::step::{Step, StepFuture};
use crate::steps::variant_state::VariantState;

pub use crate::steps::build::command::OVERRIDES;
pub use crate::steps::build::container_args::check_words;
pub use crate::steps::build::services::{BuildServices, BuildTools};
pub use crate::steps::build::words::UnfitWord;

/// The step's entry in plans.
pub static INFO: StepInfo = StepInfo {
    kind: StepKind::new("build"),
    words: StepWords {
        verb: "build",
        past: "built",
        doing: "building",
    },
    mark: '=',
    scopes: &[Scope::Full],
    applies: always,
    lanes: &[StepLane {
        name: "build",
        size: LaneSize::Builds,
    }],
    build_dir: BuildDirUse::Writes,
    heavy: true,
    assumed_millis: 180_000,
};

/// The build step.
pub struct Build;

impl Step for Build {
    fn info(&self) -> &'static StepInfo {
        &INFO
    }

    fn run<'a>(&'a self, cx: &'a StepContext, state: &'a mut VariantState) -> StepFuture<'a> {
        Box::pin(async move { build(cx, state).await.unwrap_or_else(|result| result) })
    }

    fn log(&self, settings: &Settings, run: &str, variant: &VariantKey) -> Option<PathBuf> {
        Some(log_path(settings, run, variant))
    }
}

/// The file with the whole output of a variant's build in a run.
#[must_use]
pub fn log_path(settings: &Settings, run: &str, key: &VariantKey) -> PathBuf {
    StateDir::at(settings.state_dir.value.clone())
        .run(run)
        .log(key)
}

async fn build(cx: &StepContext, state: &mut VariantState) -> Result<StepResult, StepResult> {
    let Some(services) = &cx.services.build else {
        let why = "internal fault: a build was planned without the tools for it";
        return Err(StepResult::failed(why));
    };
    let dirs = cx.dirs();
    // Held until the build has ended.
    let _reservation = disk_need::reserve(cx, services, &dirs).await?;
    let leftovers = clean_dir::prepare(cx, services, &dirs.build).await?;
    let (mut entry, history) = LedgerEntry::open(cx, services, &dirs).await?;
    let begin = Instant::now();
    let run = clean_dir::build(cx, services, leftovers, history).await;
    let with_waits = begin.elapsed().as_secs_f64();
    entry.close(cx, &run, with_waits).await?;
    if run.result.is_good() {
        state.inputs = entry.keep(cx, services, &dirs, run.silences).await;
        state.deploy_snapshot = Some(entry.into_snapshot());
    }
    Ok(run.result)
}
