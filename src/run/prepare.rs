//! Prepare: takes the run lock, probes the tools, recovers what killed runs left, and decides what is skipped.
//!
//! Nothing of the run itself exists when this phase ends: no run directory, no journal entry, no event. Signals
//! still end the process at once.

use std::sync::Arc;

use crate::base::failure::Failure;
use crate::caches::InUse;
use crate::fs::PathError;
use crate::inputs::ToolIdentity;
use crate::inputs::observer::InputObserver;
use crate::inputs::record::KeyRecord;
use crate::plan::skip::Skips;
use crate::plan::{Scope, VariantIx, order};
use crate::recovery;
use crate::recovery::{RecoveryPlace, RecoveryReport};
use crate::run::caches;
use crate::run::kas_schema::{self, LoadedSchema};
use crate::run::lock::RunLock;
use crate::run::no_op::NoOp;
use crate::run::planned::PlannedRun;
use crate::run::skips;
use crate::run::skips::ProjectJudge;
use crate::settings::Settings;
use crate::state::records::Records;
use crate::state::{StateDir, journal, runs};
use crate::steps::build;
use crate::store::choice::ChosenStore;
use crate::tools;
use crate::tools::{Runner, ToolNote, Toolchain};
use crate::wsl::guard_setup::{GuardRequest, GuardSetup, choose_guard};

/// The result of the preparation.
pub(super) enum Preparation<'a> {
    /// Every variant is unchanged.
    NothingToDo(Box<NoOp<'a>>),
    /// There is something to do.
    Ready(Box<PreparedRun<'a>>),
}

/// A run that holds its locks and has decided what to skip.
pub(super) struct PreparedRun<'a> {
    pub(super) planned: PlannedRun<'a>,
    pub(super) tools: ProbedTools,
    /// Held until the run ends.
    pub(super) lock: RunLock,
    /// The recovery before this run.
    pub(super) recovered: RecoveryReport,
    pub(super) records: Arc<Records>,
    /// Watches the inputs of builds; `None` where nothing is built.
    pub(super) observer: Option<Arc<InputObserver>>,
    pub(super) skips: Skips,
    /// Why logs of old runs could not be removed.
    pub(super) unpruned: Option<PathError>,
    /// Held until the run ends, so that nothing is pruned that a build may use; `None` where nothing is built.
    pub(super) caches: Option<InUse>,
}

/// The tools of the host that the run uses.
pub(super) struct ProbedTools {
    /// The program that runs kas; `None` if nothing is built.
    pub(super) runner: Option<Runner>,
    pub(super) store: ChosenStore,
    /// The guard against hangs on a Windows drive; `None` if none is needed.
    pub(super) guarding: Option<GuardSetup>,
    /// Notes for the user about these tools.
    pub(super) notes: Vec<ToolNote>,
}

/// Prepares a planned run.
///
/// # Errors
/// Everything that keeps the run from starting.
pub(super) fn prepare(mut planned: PlannedRun<'_>) -> Result<Preparation<'_>, Failure> {
    let mut early_lock = None;
    if planned.may_skip() && planned.identity.state.records().exists() {
        let lock = planned.lock()?;
        // What a killed run left must be recovered before its records are trusted.
        let is_clean = lock.dead.is_none() && !planned.identity.state.journal().exists();
        if is_clean && let Some((store, skips)) = unchanged(&planned)? {
            return Ok(nothing_to_do(planned, lock, store, skips));
        }
        early_lock = Some(lock);
    }
    let tools = ProbedTools::probe(&planned)?;
    let lock = early_lock.map_or_else(|| planned.lock(), Ok)?;
    let recovered = recover(&planned, &tools, &lock)?;
    let records = Arc::new(skips::open_records(&planned.identity.state)?);
    let (observer, skips) = match &tools.runner {
        None => (None, Skips::none()),
        Some(runner) => {
            let judge = ProjectJudge::new(planned.context, &planned.project, &planned.forced);
            let clock = &planned.identity.clock;
            let (observer, skips) =
                judge.rejudge(&planned.plan, (runner, &tools.store), &records, clock)?;
            if skips.len() == planned.plan.variants.len() {
                let store = tools.store.kind().to_owned();
                return Ok(nothing_to_do(planned, lock, store, skips));
            }
            check_chains(&mut planned, runner, &observer.tools(), &skips)?;
            (Some(observer), skips)
        }
    };
    order::improve(&mut planned.plan, &skips);
    let unpruned = prune_runs(&planned.identity.state, &planned.project.settings).err();
    let caches = match planned.scope {
        Scope::Full => Some(caches::enter(
            &planned.project,
            &planned.identity.holder(),
            planned.context.arguments.run.wait.limit(),
        )?),
        Scope::FromDeploy | Scope::FromOutput => None,
    };
    Ok(Preparation::Ready(Box::new(PreparedRun {
        planned,
        tools,
        lock,
        recovered,
        records,
        observer,
        skips,
        unpruned,
        caches,
    })))
}

fn nothing_to_do(
    planned: PlannedRun<'_>,
    lock: RunLock,
    store: String,
    skips: Skips,
) -> Preparation<'_> {
    Preparation::NothingToDo(Box::new(NoOp {
        planned,
        store,
        skips,
        _lock: lock,
    }))
}

/// The kind of store and the skips, if every variant is unchanged by what is recorded. Starts no program, so
/// that a run with nothing to do costs no more than reading.
fn unchanged(planned: &PlannedRun<'_>) -> Result<Option<(String, Skips)>, Failure> {
    let records = skips::open_records(&planned.identity.state)?;
    let judge = ProjectJudge::new(planned.context, &planned.project, &planned.forced);
    let judged = judge.judge(&planned.plan, &records, planned.identity.now())?;
    let skips = skips::skips(&judged);
    if skips.len() < planned.plan.variants.len() {
        return Ok(None);
    }
    let record = judged.iter().find_map(|one| one.record.as_ref());
    let store = record.map_or("local", KeyRecord::store_kind);
    Ok(Some((store.to_owned(), skips)))
}

impl ProbedTools {
    /// Probes the tools that the run's scope needs: an engine only where something is built.
    fn probe(planned: &PlannedRun<'_>) -> Result<ProbedTools, Failure> {
        let (settings, environment) = (&planned.project.settings, &planned.context.environment);
        let unusable = |error: tools::ToolError| Failure::environment(&error).hint(error.hint());
        let choose_store = || {
            ChosenStore::choose(&planned.context.backends, settings, environment)
                .map_err(|error| Failure::environment(&error).hint(error.hint()))
        };
        if planned.scope != Scope::Full {
            let store = choose_store()?;
            return Ok(ProbedTools {
                runner: None,
                notes: store.note().into_iter().collect(),
                store,
                guarding: None,
            });
        }
        let toolchain =
            Toolchain::probe_on(planned.host.clone(), settings, environment).map_err(unusable)?;
        let mut notes = toolchain.notes();
        let store = choose_store()?;
        notes.extend(store.note());
        let request = GuardRequest {
            settings,
            environment,
            host: &planned.host,
            project_dir: &planned.project.directory,
        };
        let guarding = choose_guard(&request, &toolchain.runner)?;
        check_words(&toolchain.runner, planned)?;
        Ok(ProbedTools {
            runner: Some(toolchain.runner),
            store,
            guarding,
            notes,
        })
    }
}

/// Refuses words that kas-container would split, such as a path with a blank, before anything is started.
fn check_words(runner: &Runner, planned: &PlannedRun<'_>) -> Result<(), Failure> {
    let Runner::Container { .. } = runner else {
        return Ok(());
    };
    let project = &planned.project;
    for variant in planned.plan.variants.iter() {
        build::check_words(
            &project.settings,
            &project.directory,
            variant,
            &planned.identity.id,
        )
        .map_err(|word| Failure::environment(&word).hint(Some(word.hint())))?;
    }
    Ok(())
}

/// Refuses chains of variants to be built that kas would refuse. A skipped variant's chain was built before.
fn check_chains(
    planned: &mut PlannedRun<'_>,
    runner: &Runner,
    identity: &ToolIdentity,
    skips: &Skips,
) -> Result<(), Failure> {
    let context = planned.context;
    let state = &planned.identity.state;
    let schema = kas_schema::of_runner(runner, identity, state, &context.environment);
    if let Err(why) = &schema {
        tracing::debug!("kas files are not checked against kas's schema: {why}");
    }
    let schema = schema.ok();
    let known = schema.as_ref().map(LoadedSchema::known);
    let variants = planned.plan.variants.iter().enumerate();
    let built = variants
        .filter(|(index, _)| !skips.contains(VariantIx(*index)))
        .map(|(_, variant)| variant);
    let color = context.colors_stderr();
    let warnings = planned.project.check_chains(built, known, color)?;
    planned.project.warnings.push_str(&warnings);
    Ok(())
}

/// Recovers what killed runs left, now that the run lock is held.
fn recover(
    planned: &PlannedRun<'_>,
    tools: &ProbedTools,
    lock: &RunLock,
) -> Result<RecoveryReport, Failure> {
    let place = RecoveryPlace {
        settings: &planned.project.settings,
        state: &planned.identity.state,
        environment: &planned.context.environment,
        products: &planned.context.products,
        backends: &planned.context.backends,
        engine: tools.runner.as_ref().and_then(Runner::engine),
        steps: &planned.parts.steps,
        command: &planned.identity.command,
        now: planned.identity.now(),
        dry_run: false,
    };
    let mut report = recovery::at_start(&place)
        .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
    lock.report_takeover(&mut report);
    Ok(report)
}

/// Removes the logs of old runs, except of those that the journal still names.
fn prune_runs(state: &StateDir, settings: &Settings) -> Result<(), PathError> {
    let open: Vec<String> = journal::read(&state.journal())
        .unwrap_or_default()
        .iter()
        .map(|entry| entry.run().to_owned())
        .collect();
    runs::prune(state, settings.keep_runs.value, &open)
}
