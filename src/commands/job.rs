//! The work behind the nodes of a plan: gives each step what it needs and records what came of it.
//!
//! Knows nothing of order, lanes or signals.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_blocking;

use super::room;
use crate::model::matrix::Variant;
use crate::model::outcome::Outcome;
use crate::model::plan::{NodeIx, Plan, Scope, StepKind};
use crate::report::EventSink;
use crate::scheduler::Work;
use crate::settings::{Settings, VariantDirs, variant_dirs};
use crate::state::journal::Journal;
use crate::state::records::{BuildStart, RecordsError};
use crate::steps::build::{self, BuildTools};
use crate::steps::capture::{Provenance, capture};
use crate::steps::output::take_output;
use crate::steps::register::{Registry, register};
use crate::steps::room::{Lack, NoRoom, Reservation, Room};
use crate::steps::{Handover, StepContext, StepResult, StopSignal};

/// Everything that the steps of a run share.
pub struct Job {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What is done: all, or a part.
    pub scope: Scope,
    /// The run's id.
    pub run: String,
    /// The settings.
    pub settings: Arc<Settings>,
    /// What a build needs; none where nothing is built.
    pub build_tools: Option<BuildTools>,
    /// Store and records.
    pub registry: Registry,
    /// Whose the files in a deploy directory are, where they were not built by this run.
    pub provenance: Provenance,
    /// The build directory to capture from, instead of the variant's own.
    pub build_dir: Option<PathBuf>,
    /// Where events go.
    pub events: EventSink,
    /// What steps hand on.
    pub handover: Arc<Handover>,
    /// Where steps say what they are about to do.
    pub journal: Arc<Journal>,
    /// The room that the builds of this run have been given.
    pub room: Arc<Room>,
}

impl Job {
    fn dirs(&self, variant: &Variant) -> VariantDirs {
        variant_dirs(
            &self.settings,
            &variant.key.machine,
            &variant.key.id,
            variant.arch,
        )
    }

    async fn build(&self, ctx: &StepContext, dirs: &VariantDirs) -> StepResult {
        let Some(tools) = &self.build_tools else {
            return StepResult::failed("internal fault: a build was planned without tools for it");
        };
        // Held until the build has ended.
        let _room = match self.reserve(ctx, dirs).await {
            Ok(room) => room,
            Err(result) => return result,
        };
        let records = &self.registry.records;
        let deploy_names: Vec<String> = ctx
            .variant
            .artifacts
            .iter()
            .map(|artifact| artifact.deploy_name.clone())
            .collect();
        let started = records.record_build_started(&BuildStart {
            run: &self.run,
            variant: &ctx.variant.key,
            build_dir: &dirs.build,
            kas: &ctx.variant.kas_chain(),
            deploy_names: &deploy_names,
            started: (self.registry.clock)(),
        });
        let id = match started {
            Ok(id) => id,
            Err(error) => return unrecorded(&error),
        };
        let begin = Instant::now();
        let result = build::build(ctx, tools).await;
        let seconds = begin.elapsed().as_secs_f64();
        if result.outcome == Outcome::Succeeded {
            self.measure(ctx, dirs).await;
        }
        match records.record_build_finished(id, result.outcome, seconds, (self.registry.clock)()) {
            Ok(()) => result,
            Err(error) => unrecorded(&error),
        }
    }
}

impl Job {
    /// Room for a build, waited for where builds that run may give some back.
    async fn reserve(
        &self,
        ctx: &StepContext,
        dirs: &VariantDirs,
    ) -> Result<Reservation, StepResult> {
        let (settings, variant) = (Arc::clone(&self.settings), Arc::clone(&ctx.variant));
        let (dirs, store) = (dirs.clone(), self.registry.store.dir().to_owned());
        let needs = spawn_blocking(move || room::needs(&settings, &variant, &dirs, &store))
            .await
            .unwrap_or_default();
        let margin = room::margin(&self.settings);
        let wait = |lack: &Lack| {
            let message = format!("waits for a build to end: {lack}");
            ctx.events.warn(Some(&ctx.node), message, None);
        };
        let reserved = self.room.reserve(&needs, margin, &ctx.stop, wait).await;
        reserved.map_err(|none| match none {
            NoRoom::Stopped => StepResult::cancelled(),
            NoRoom::Lack(lack) => StepResult::failed(format!("not enough room: {lack}")).hint(
                "make room, for example by isar-build-all cache prune; `build-space` and `min-free` set what is asked for",
            ),
        })
    }

    /// Remembers what a build took.
    async fn measure(&self, ctx: &StepContext, dirs: &VariantDirs) {
        let (settings, key) = (Arc::clone(&self.settings), ctx.variant.key.clone());
        let dirs = dirs.clone();
        // Only a panic of ours could fail here, and then the next build is estimated.
        let _ = spawn_blocking(move || room::remember(&settings, &key, &dirs)).await;
    }
}

/// Without a record nobody knows later whose the files in the build directory are.
fn unrecorded(error: &RecordsError) -> StepResult {
    let mut failure = StepResult::failed(error.to_string());
    failure.hint = error.hint();
    failure
}

impl Work for Job {
    fn log(&self, node: NodeIx) -> Option<String> {
        let node = self.plan.node(node);
        (node.step == StepKind::Build).then(|| {
            let key = &self.plan.variant(node.variant).key;
            build::log_path(&self.settings, &self.run, key)
                .display()
                .to_string()
        })
    }

    async fn run(&self, node: NodeIx, stop: StopSignal) -> StepResult {
        let node = self.plan.node(node);
        let variant = Arc::new(self.plan.variant(node.variant).clone());
        let dirs = self.dirs(&variant);
        let ctx = StepContext {
            node: node.id.clone(),
            run: self.run.clone(),
            variant,
            settings: Arc::clone(&self.settings),
            events: self.events.clone(),
            stop,
            handover: Arc::clone(&self.handover),
            journal: Arc::clone(&self.journal),
        };
        match node.step {
            StepKind::Build => self.build(&ctx, &dirs).await,
            StepKind::Capture if self.scope == Scope::FromOutput => {
                take_output(&ctx, &self.registry.store).await
            }
            StepKind::Capture => {
                let want = self.registry.store.want();
                let place = self.build_dir.as_deref().unwrap_or(&dirs.build);
                capture(&ctx, place, &self.provenance, want).await
            }
            StepKind::Register => register(&ctx, &self.registry).await,
        }
    }
}
