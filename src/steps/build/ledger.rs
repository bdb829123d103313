//! The ledger entry of a build: the records from which later runs know the owners of the files in its build directory, its
//! inputs, and the resources that it used.

use std::sync::Arc;

use crate::bitbake::silence::History;
use crate::caches::warm;
use crate::inputs::observer::{InputObserver, InputSnapshot, StableInputs};
use crate::kas::dump::KasDump;
use crate::settings::VariantDirs;
use crate::state::records::deploys::SnapshotMoment;
use crate::state::records::{BuildId, BuildStart, Records, RecordsError};
use crate::steps::build::disk_need;
use crate::steps::build::kas_dump::{self, NoDump};
use crate::steps::build::kas_run::KasRun;
use crate::steps::build::services::BuildServices;
use crate::steps::context::StepContext;
use crate::steps::deploy_snapshot::DeploySnapshot;
use crate::steps::result::StepResult;

/// The entry of a build that has started.
pub(super) struct LedgerEntry {
    id: BuildId,
    /// The files that the build may overwrite, before it.
    snapshot: Arc<DeploySnapshot>,
    /// The inputs before the build, or why they are unknown; absent where inputs are not observed.
    inputs: Option<Result<InputSnapshot, String>>,
}

impl LedgerEntry {
    /// Takes the snapshots of a build that is about to start, and records its start. Also returns the longest silences
    /// of the variant's earlier builds.
    ///
    /// # Errors
    /// The step's result: a build without a record is not started, because the owner of the files that it leaves would
    /// be unknown.
    pub(super) async fn open(
        cx: &StepContext,
        services: &BuildServices,
        dirs: &VariantDirs,
    ) -> Result<(LedgerEntry, History), StepResult> {
        let snapshot = {
            let (records, variant) = (records(cx), Arc::clone(&cx.variant));
            let build_dir = dirs.build.clone();
            let take = move || DeploySnapshot::take(&records, &build_dir, &variant);
            Arc::new(cx.preparing(take).await?.map_err(unrecorded)?)
        };
        let inputs = match &services.inputs {
            Some(observer) => Some(observe(cx, observer).await?),
            None => None,
        };
        let started = {
            let (cx, dirs, snapshot) = (cx.clone(), dirs.clone(), Arc::clone(&snapshot));
            move || record_start(&cx, &dirs, &snapshot)
        };
        let (id, history) = cx.blocking(started).await??;
        let entry = LedgerEntry {
            id,
            snapshot,
            inputs,
        };
        Ok((entry, history))
    }

    /// Records the end of the build and the owners of the deployed files. `with_waits` is its duration in seconds
    /// where kas was not started.
    ///
    /// # Errors
    /// The step's result: without this record, the deployed files are not captured.
    pub(super) async fn close(
        &self,
        cx: &StepContext,
        run: &KasRun,
        with_waits: f64,
    ) -> Result<(), StepResult> {
        let (id, snapshot, cx_) = (self.id, Arc::clone(&self.snapshot), cx.clone());
        // Not the time that the build waited for the warm-up or a cleaning: the next one need not.
        let seconds = run.seconds.unwrap_or(with_waits);
        let (outcome, good, measure) = (run.result.outcome, run.result.is_good(), run.measure);
        let close = move || {
            let cx = cx_;
            let records = &cx.services.registry.records;
            if good {
                let after = snapshot.after(&cx.dirs().build, &cx.variant);
                records.record_deploy_states(id, SnapshotMoment::After, &after)?;
            }
            if let Err(error) = records.record_measure(id, &measure) {
                // The next build's need is then an assumption.
                tracing::warn!("{error}");
            }
            records.record_build_finished(id, outcome, seconds, (cx.services.registry.clock)())
        };
        cx.blocking(close).await?.map_err(unrecorded)
    }

    /// Keeps what later builds can use of a good one: its inputs, the size of its directories, its silences, and that
    /// its shared state is in the cache. Returns the inputs, if they are proven, for which kas dumps the chain.
    pub(super) async fn keep(
        &mut self,
        cx: &StepContext,
        services: &BuildServices,
        dirs: &VariantDirs,
        silences: Option<History>,
    ) -> Option<StableInputs> {
        let (cx_, dirs) = (cx.clone(), dirs.clone());
        let shared = services.shared.get(&cx.variant.key).cloned();
        let before = self.inputs.take();
        // Before the inputs are read again, so that kas reads them in between.
        let dump = match &before {
            Some(Ok(_)) => kas_dump::dump(cx, services).await,
            _ => Err(NoDump::NotNeeded),
        };
        let observer = services.inputs.clone();
        let keep = move || {
            let cx = cx_;
            let inputs = observer.zip(before).and_then(|(observer, before)| {
                let compared = before.and_then(|before| compare(&cx, &observer, &before, dump));
                compared.map_err(|why| doubt(&cx, &why)).ok()
            });
            disk_need::record_size(&cx.settings, &cx.variant.key, &dirs);
            if let Some(silences) = silences
                && let Err(error) = records(&cx).record_silences(&cx.variant.key, &silences)
            {
                cx.warn(error.to_string(), error.hint());
            }
            if let Some(shared) = shared
                && let Err(error) = warm::mark(&dirs.sstate, &shared.digest, &shared.name)
            {
                // Then a build of the group leads again.
                tracing::warn!("{error}");
            }
            inputs
        };
        match cx.blocking(keep).await {
            Ok(inputs) => inputs,
            Err(result) => {
                not_proven(cx, &result.why.unwrap_or_default());
                None
            }
        }
    }

    /// The files before the build, for the freshness gate of the capture.
    pub(super) fn into_snapshot(self) -> DeploySnapshot {
        Arc::unwrap_or_clone(self.snapshot)
    }
}

fn records(cx: &StepContext) -> Arc<Records> {
    Arc::clone(&cx.services.registry.records)
}

fn record_start(
    cx: &StepContext,
    dirs: &VariantDirs,
    snapshot: &DeploySnapshot,
) -> Result<(BuildId, History), StepResult> {
    let (registry, key) = (&cx.services.registry, &cx.variant.key);
    let deploy_names: Vec<String> = cx
        .variant
        .artifacts
        .iter()
        .map(|artifact| artifact.deploy_name.clone())
        .collect();
    let id = registry
        .records
        .record_build_started(&BuildStart {
            run: &cx.run,
            variant: key,
            build_dir: &dirs.build,
            kas: &cx.variant.kas_chain(),
            deploy_names: &deploy_names,
            started: (registry.clock)(),
        })
        .map_err(unrecorded)?;
    registry
        .records
        .record_deploy_states(id, SnapshotMoment::Before, snapshot.states())
        .map_err(unrecorded)?;
    let history = registry.records.silences(key).unwrap_or_else(|error| {
        // Without a history, every silence is compared with the setting alone.
        cx.warn(error.to_string(), error.hint());
        History::default()
    });
    Ok((id, history))
}

/// The inputs before the build, or why they cannot be read.
async fn observe(
    cx: &StepContext,
    observer: &Arc<InputObserver>,
) -> Result<Result<InputSnapshot, String>, StepResult> {
    let (observer, variant) = (Arc::clone(observer), Arc::clone(&cx.variant));
    let now = (cx.services.registry.clock)();
    let observed = cx.preparing(move || observer.before(&variant, now)).await?;
    Ok(observed.map_err(|error| {
        let why = error.to_string();
        not_proven(cx, &why);
        why
    }))
}

/// The inputs after the build, where they are what they were before and kas reads them as this tool does. Blocking.
fn compare(
    cx: &StepContext,
    observer: &InputObserver,
    before: &InputSnapshot,
    dump: Result<KasDump, NoDump>,
) -> Result<StableInputs, String> {
    let registry = &cx.services.registry;
    let dump = dump.map_err(|error| error.to_string());
    let after = observer.after(&cx.variant, before, dump, (registry.clock)());
    if let Some((subject, tools)) = &after.tools {
        // An answer that is not recorded is asked for again by the next run.
        let _ = registry.records.record_tools(subject, tools);
    }
    after.inputs.map_err(|error| {
        let why = error.to_string();
        not_proven(cx, &why);
        why
    })
}

/// Keeps for the next run why this build leaves no input key. Blocking.
fn doubt(cx: &StepContext, why: &str) {
    if let Err(error) = records(cx).record_doubt(&cx.variant.key, why) {
        // The next run then builds it without saying why.
        tracing::warn!("{error}");
    }
}

/// Without proven inputs, the next run has no key to compare with.
fn not_proven(cx: &StepContext, why: &str) {
    cx.warn(format!("the next run builds it again: {why}"), None);
}

fn unrecorded(error: RecordsError) -> StepResult {
    StepResult::error(&error, error.hint())
}
