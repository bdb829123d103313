//! The work behind the nodes of a plan: gives each step what it needs and records what came of it.
//!
//! Knows nothing of order, lanes or signals.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_blocking;

use super::keys::{self, Keys};
use super::room;
use super::unchanged::Asked;
use crate::caches::warm;
use crate::machine::Machine;
use crate::model::affinity::Shared;
use crate::model::matrix::Variant;
use crate::model::outcome::Outcome;
use crate::model::plan::{NodeIx, Plan, Scope, StepKind, VariantIx};
use crate::report::EventSink;
use crate::scheduler::Work;
use crate::settings::{Settings, VariantDirs, variant_dirs};
use crate::state::journal::Journal;
use crate::state::records::deploys::Moment;
use crate::state::records::{BuildStart, RecordsError};
use crate::steps::build::{self, BuildTools};
use crate::steps::capture::{Provenance, capture};
use crate::steps::compress::compress;
use crate::steps::contamination;
use crate::steps::freshness::Before;
use crate::steps::output::take_output;
use crate::steps::register::{Registry, register};
use crate::steps::room::{Lack, NoRoom, Reservation, Room};
use crate::steps::share::Share;
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
    /// What variants are built from; none where nothing is built.
    pub keys: Option<Arc<Keys>>,
    /// The variants whose build directories are cleaned first (`--rebuild`).
    pub rebuild: Asked,
    /// The machine that the builds share.
    pub machine: Machine,
    /// What each variant shares with others through the shared state cache.
    pub shared: Vec<Option<Arc<Shared>>>,
    /// Which of [`THREADS`] the user has set.
    pub own_threads: [bool; 2],
}

/// The variables that say how many threads a build has: BitBake's own, and those of the compilations.
/// Neither changes what is built, and BitBake leaves both out of its signatures.
pub const THREADS: [&str; 2] = ["BB_NUMBER_THREADS", "PARALLEL_MAKE"];

impl Job {
    /// A build's threads as variables, of which the user's own are left alone.
    fn threads(&self, share: &Share) -> Vec<(&'static str, String)> {
        let Some(threads) = share.threads else {
            return Vec::new();
        };
        let [bitbake, make] = THREADS;
        let all = [
            (bitbake, threads.to_string()),
            (make, format!("-j {threads}")),
        ];
        let of_user = self.own_threads.into_iter();
        let ours = all.into_iter().zip(of_user).filter(|(_, own)| !own);
        ours.map(|(variable, _)| variable).collect()
    }

    fn dirs(&self, variant: &Variant) -> VariantDirs {
        variant_dirs(
            &self.settings,
            &variant.key.machine,
            &variant.key.id,
            variant.arch,
        )
    }

    async fn build(&self, ctx: &StepContext, variant: VariantIx, dirs: &VariantDirs) -> StepResult {
        let Some(tools) = &self.build_tools else {
            return StepResult::failed("internal fault: a build was planned without tools for it");
        };
        // Held until the build has ended.
        let _room = match self.reserve(ctx, dirs).await {
            Ok(room) => room,
            Err(result) => return result,
        };
        let records = &self.registry.records;
        let old = match contamination::keep_out(
            ctx,
            tools,
            &dirs.build,
            records,
            self.rebuild.rebuilds(&ctx.variant.key),
        )
        .await
        {
            Ok(old) => old,
            Err(result) => return result,
        };
        let before = match self.look_before(ctx, dirs).await {
            Ok(before) => before,
            Err(result) => return result,
        };
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
        let seen = started.and_then(|id| {
            records.record_deploy_states(id, Moment::Before, before.states())?;
            Ok(id)
        });
        let id = match seen {
            Ok(id) => id,
            Err(error) => return unrecorded(&error),
        };
        let made_of = self.look_at_inputs(ctx).await;
        self.recall_silences(ctx);
        let begin = Instant::now();
        let result = contamination::build(ctx, tools, &dirs.build, old).await;
        let waited_too = begin.elapsed().as_secs_f64();
        if result.outcome.lets_descendants_run() {
            let after = before.after(&dirs.build, &ctx.variant);
            if let Err(error) = records.record_deploy_states(id, Moment::After, &after) {
                return unrecorded(&error);
            }
            ctx.handover.put_before(ctx.variant.key.clone(), before);
            if let Some(made_of) = made_of {
                self.look_again(ctx, made_of).await;
            }
            self.measure(ctx, dirs).await;
            self.remember_silences(ctx);
            self.mark(variant, dirs);
        }
        let measured = ctx.handover.take_measured(&ctx.variant.key);
        // The next build need not wait for what this one did: another that goes first, or a cleaning.
        let seconds = measured.seconds.unwrap_or(waited_too);
        if let Err(error) = records.record_measure(id, &measured.measure) {
            // The next build is estimated.
            tracing::warn!("{error}");
        }
        match records.record_build_finished(id, result.outcome, seconds, (self.registry.clock)()) {
            Ok(()) => result,
            Err(error) => unrecorded(&error),
        }
    }

    /// What the build is about to be made of; none where that cannot be read.
    async fn look_at_inputs(&self, ctx: &StepContext) -> Option<keys::Before> {
        let (keys, variant) = (Arc::clone(self.keys.as_ref()?), Arc::clone(&ctx.variant));
        let looked = spawn_blocking(move || keys.before(&variant)).await.ok()?;
        looked
            .map_err(|error| unremembered(ctx, &error.to_string()))
            .ok()
    }

    /// Leaves what the build was made of for its registration, if that stayed what it was.
    async fn look_again(&self, ctx: &StepContext, before: keys::Before) {
        let Some(keys) = self.keys.clone() else {
            return;
        };
        let variant = Arc::clone(&ctx.variant);
        let looked = spawn_blocking(move || keys.after(&variant, &before)).await;
        match looked {
            Ok(Ok(Ok(made_of))) => ctx.handover.put_made_of(ctx.variant.key.clone(), made_of),
            Ok(Ok(Err(why))) => unremembered(ctx, &why),
            Ok(Err(error)) => unremembered(ctx, &error.to_string()),
            // A panic of ours; the variant is built again next time.
            Err(error) => unremembered(ctx, &error.to_string()),
        }
    }

    /// What lies under the names that the build may deploy.
    async fn look_before(
        &self,
        ctx: &StepContext,
        dirs: &VariantDirs,
    ) -> Result<Before, StepResult> {
        let (records, variant) = (Arc::clone(&self.registry.records), Arc::clone(&ctx.variant));
        let build_dir = dirs.build.clone();
        tokio::task::spawn_blocking(move || Before::look(&records, &build_dir, &variant))
            .await
            .map_err(|error| StepResult::failed(format!("internal fault: {error}")))?
            .map_err(|error| unrecorded(&error))
    }

    async fn capture(&self, ctx: &StepContext, build_dir: &Path) -> StepResult {
        let store = &self.registry.store;
        let result = capture(ctx, build_dir, &self.provenance, store).await;
        if result.outcome == Outcome::Refused && matches!(self.provenance, Provenance::Built(_)) {
            // The build ended well and left something else: the next one begins in a clean directory.
            let refused = self.registry.records.record_build_refused(
                build_dir,
                &ctx.variant.key,
                (self.registry.clock)(),
            );
            if let Err(error) = refused {
                ctx.events
                    .warn(Some(&ctx.node), error.to_string(), error.hint());
            }
        }
        result
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

    /// Leaves for a build how long its tasks were silent before. Without that they may be silent for as
    /// long as any.
    fn recall_silences(&self, ctx: &StepContext) {
        let key = &ctx.variant.key;
        match self.registry.records.silences(key) {
            Ok(silences) => ctx.handover.put_silences(key.clone(), silences),
            Err(error) => {
                ctx.events
                    .warn(Some(&ctx.node), error.to_string(), error.hint());
            }
        }
    }

    fn remember_silences(&self, ctx: &StepContext) {
        let key = &ctx.variant.key;
        let silences = ctx.handover.silences(key);
        if let Err(error) = self.registry.records.record_silences(key, &silences) {
            ctx.events
                .warn(Some(&ctx.node), error.to_string(), error.hint());
        }
    }

    /// Says in the shared state cache what a good build has left there.
    fn mark(&self, variant: VariantIx, dirs: &VariantDirs) {
        if let Some(Some(shared)) = self.shared.get(variant.0)
            && let Err(error) = warm::mark(&dirs.sstate, &shared.digest, &shared.name)
        {
            // Then another build leads next time.
            tracing::warn!("{error}");
        }
    }

    /// Remembers what a build took.
    async fn measure(&self, ctx: &StepContext, dirs: &VariantDirs) {
        let (settings, key) = (Arc::clone(&self.settings), ctx.variant.key.clone());
        let dirs = dirs.clone();
        // Only a panic of ours could fail here, and then the next build is estimated.
        let _ = spawn_blocking(move || room::remember(&settings, &key, &dirs)).await;
    }
}

/// Says that the next run builds the variant again, whatever it finds.
fn unremembered(ctx: &StepContext, why: &str) {
    let message = format!("the next run builds it again: {why}");
    ctx.events.warn(Some(&ctx.node), message, None);
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

    fn pressed(&self) -> Option<String> {
        let most = self.settings.memory_pressure.value;
        let now = self.machine.memory_pressure().filter(|_| most > 0)?;
        let most_share = f64::from(most);
        (f64::from(now) >= most_share).then(|| {
            format!("processes waited for memory in {now:.0} % of the last 10 seconds, and {most} % is the limit")
        })
    }

    async fn run(&self, node: NodeIx, share: Share, stop: StopSignal) -> StepResult {
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
            variables: self.threads(&share),
            share,
            handover: Arc::clone(&self.handover),
            journal: Arc::clone(&self.journal),
        };
        match node.step {
            StepKind::Build => self.build(&ctx, node.variant, &dirs).await,
            StepKind::Capture if self.scope == Scope::FromOutput => {
                take_output(&ctx, &self.registry.store).await
            }
            StepKind::Capture => {
                let place = self.build_dir.as_deref().unwrap_or(&dirs.build);
                self.capture(&ctx, place).await
            }
            StepKind::Compress => compress(&ctx, &self.registry, self.machine.cores()).await,
            StepKind::Register => register(&ctx, &self.registry).await,
        }
    }
}
