//! Execute: begins the run's record and walks the plan, from `run_started` to `run_finished`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::failure::Failure;
use crate::event::outcome::RunOutcome;
use crate::event::{EventKind, EventSink, Hub};
use crate::exec::Undo;
use crate::exec::watcher::Watcher;
use crate::plan::Scope;
use crate::project::context::Context;
use crate::report;
use crate::run::executor::{RunServices, StepExecutor};
use crate::run::finish::ExecutedRun;
use crate::run::forecast::warm_up_goal;
use crate::run::prepare::PreparedRun;
use crate::run::reporters::report_context;
use crate::run::scheduler::{FailurePolicy, WalkOptions};
use crate::run::signals::StopSignals;
use crate::run::{announce, publish, scheduler, watching};
use crate::state::journal::{Entry, Journal, JournalError};
use crate::steps::build::threads::ThreadVariables;
use crate::steps::build::warm_up::WarmUp;
use crate::steps::build::{BuildServices, BuildTools};
use crate::steps::capture::slots::CaptureSlots;
use crate::steps::capture::{CapturePolicy, Provenance};
use crate::steps::register::Registry;
use crate::steps::services::StepServices;
use crate::store::Store;
use crate::store::backend::StoreRun;
use crate::tools::ToolNote;

/// Time for disk calls that a stop left behind, before the run ends without them.
const LEFT_CALLS: Duration = Duration::from_secs(2);

/// A run whose record is open: directory, journal, reporters.
struct BegunRun {
    journal: Arc<Journal>,
    hub: Hub,
    events: EventSink,
    store: Store,
    /// The handle that ends programs that write into the store; `None` if there are none.
    store_undo: Option<Undo>,
    /// `None` where the run starts no program.
    watcher: Option<Watcher>,
    /// Notes for the user about this run.
    notes: Vec<ToolNote>,
}

/// Walks the plan of a prepared run to its end.
///
/// # Errors
/// Causes that keep the run from beginning; later failures are in the events and in the outcome.
pub(super) fn execute(run: PreparedRun<'_>) -> Result<ExecutedRun, Failure> {
    let begun = BegunRun::begin(&run)?;
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::environment)?;
    let outcome = runtime.block_on(walk(&run, &begun));
    // A call to a disk that does not answer cannot be cancelled, and must not hold up the end.
    runtime.shutdown_timeout(LEFT_CALLS);
    let outcome = outcome?;
    begun.events.emit(EventKind::RunFinished {
        outcome,
        exit: outcome.exit_code(),
        seconds: start.elapsed().as_secs_f64(),
    });
    Ok(ExecutedRun {
        outcome,
        identity: run.planned.identity,
        lock: run.lock,
        caches: run.caches,
        records: run.records,
        observer: run.observer,
        journal: begun.journal,
        hub: begun.hub,
    })
}

impl BegunRun {
    fn begin(run: &PreparedRun<'_>) -> Result<BegunRun, Failure> {
        let (context, settings) = (run.planned.context, &run.planned.project.settings);
        let identity = &run.planned.identity;
        let run_dir = identity.state.run(&identity.id);
        let variants = run.planned.plan.variants.iter();
        run_dir
            .create(variants.map(|variant| &variant.key))
            .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
        run.records
            .record_run_started(&identity.id, &identity.command, identity.now())
            .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
        let journal =
            begin_journal(run).map_err(|error| Failure::environment(&error).hint(error.hint()))?;
        let report_context = report_context(context, settings, &run_dir, &identity.clock);
        let reporters = report::make(&run.planned.parts.reporters, &report_context)
            .map_err(|error| Failure::environment(error.to_string()))?;
        let (hub, events) = Hub::start(&identity.id, Arc::clone(&identity.clock), reporters)
            .map_err(Failure::environment)?;
        let opened = run.tools.store.open(&StoreRun {
            id: &identity.id,
            state_dir: identity.state.root(),
            local: &identity.state.store(),
            write: settings.store_write.value,
        });
        let mut notes = run.tools.notes.clone();
        notes.extend(opened.note);
        notes.extend(publish::open_files(context, &run.planned.plan));
        let starts_programs = run.tools.runner.is_some() || opened.undo.is_some();
        let watcher = starts_programs
            .then(|| watching::start(&run_dir))
            .transpose()?;
        Ok(BegunRun {
            journal: Arc::new(journal),
            hub,
            events,
            store: opened.store,
            store_undo: opened.undo,
            watcher,
            notes,
        })
    }
}

/// Opens the journal with the first entry of this run.
fn begin_journal(run: &PreparedRun<'_>) -> Result<Journal, JournalError> {
    let identity = &run.planned.identity;
    let journal = Journal::open(&identity.state.journal())?;
    journal.intend(&Entry::RunStarted {
        run: identity.id.clone(),
        pid: std::process::id(),
        at: identity.now(),
    })?;
    Ok(journal)
}

async fn walk(run: &PreparedRun<'_>, begun: &BegunRun) -> Result<RunOutcome, Failure> {
    let planned = &run.planned;
    let requests = StopSignals::listen().map_err(Failure::environment)?.queue();
    let events = &begun.events;
    // The watcher ends when its last handle is dropped: as long as this task holds one, its end is a death.
    let death = tokio::spawn(watching::warn_of_death(
        begun.watcher.clone(),
        events.clone(),
    ));
    events.emit(EventKind::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        args: planned.context.words.clone(),
        store: begun.store.kind().to_owned(),
    });
    announce::announce(run, &begun.notes, events);
    let guard = match (&begun.watcher, begun.store_undo.clone()) {
        (Some(watcher), Some(undo)) => watching::guard_store(watcher, undo, events).await,
        _ => None,
    };
    let executor = Arc::new(executor(run, begun));
    let batch = executor.services().registry.batch.clone();
    let options = WalkOptions {
        plan: &planned.plan,
        skips: &run.skips,
        policy: failure_policy(planned.context),
    };
    let outcome = scheduler::run(options, executor, events, requests).await;
    // Every step has ended, and every program that it started.
    if let Some(guard) = guard {
        guard.release();
    }
    death.abort();
    // Waited for, so that it holds no event sink any more.
    let _ = death.await;
    publish::warn_of_unpublished(batch.as_deref(), events);
    Ok(outcome)
}

fn failure_policy(context: &Context) -> FailurePolicy {
    match (
        context.arguments.run.keep_going,
        context.arguments.run.fail_fast,
    ) {
        (true, _) => FailurePolicy::KeepGoing,
        (_, true) => FailurePolicy::StopRunning,
        _ => FailurePolicy::FinishRunning,
    }
}

/// The work behind the nodes of the plan.
fn executor(run: &PreparedRun<'_>, begun: &BegunRun) -> StepExecutor {
    let planned = &run.planned;
    let (identity, host) = (&planned.identity, &planned.forecast.machine);
    let registrations = planned.plan.variants.len() - run.skips.len();
    let services = StepServices {
        registry: Registry {
            batch: publish::batch(planned.context, registrations),
            ..Registry::new(
                begun.store.clone(),
                Arc::clone(&run.records),
                Arc::clone(&identity.clock),
                identity.command.clone(),
            )
        },
        capture: CapturePolicy {
            provenance: provenance(run),
            build_dir: planned.project.build_dir.clone(),
            slots: CaptureSlots::for_cores(host.cores()),
        },
        build: build_services(run, begun),
        products: planned.parts.products.clone(),
        threads: host.cores(),
    };
    StepExecutor::new(
        Arc::new(planned.plan.clone()),
        planned.parts.steps.clone(),
        RunServices {
            id: identity.id.clone(),
            settings: Arc::new(planned.project.settings.clone()),
            events: begun.events.clone(),
            journal: Arc::clone(&begun.journal),
        },
        services,
        host.clone(),
    )
}

/// The measured needs of builds; `None` if nothing is built.
fn build_services(run: &PreparedRun<'_>, begun: &BegunRun) -> Option<BuildServices> {
    let (planned, project) = (&run.planned, &run.planned.project);
    let runner = run.tools.runner.clone()?;
    let warm_up = WarmUp::to(warm_up_goal(Some(&runner), project));
    let keys = planned.plan.variants.iter().map(|variant| &variant.key);
    let shared = keys.clone().zip(&planned.forecast.shared);
    let tools = BuildTools {
        runner,
        watcher: begun.watcher.clone(),
        guarding: run.tools.guarding.clone(),
        project_dir: project.directory.clone(),
        system_root: project.system_root.clone(),
    };
    Some(BuildServices {
        warm_up,
        inputs: run.observer.clone(),
        rebuild: keys
            .filter(|key| planned.forced.rebuilds(key))
            .cloned()
            .collect(),
        shared: shared
            .filter_map(|(key, shared)| Some((key.clone(), Arc::clone(shared.as_ref()?))))
            .collect(),
        thread_variables: ThreadVariables::without(|name| {
            let of_environment = planned.context.environment.get(name);
            project.settings.env.value.contains_key(name) || of_environment.is_some()
        }),
        ..BuildServices::new(tools)
    })
}

fn provenance(run: &PreparedRun<'_>) -> Provenance {
    match run.planned.scope {
        Scope::FromDeploy if run.planned.context.arguments.mode.adopt => Provenance::Adopted,
        Scope::FromDeploy => Provenance::Recorded(Arc::clone(&run.records)),
        Scope::Full | Scope::FromOutput => Provenance::Built(Arc::clone(&run.records)),
    }
}
