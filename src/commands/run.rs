//! The main job: from the checked project to the exit code.
//!
//! Puts the parts together and takes them apart again; what happens in between is the scheduler's.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::exec::Undo;
use crate::exec::watcher::{Guard, Watcher};
use crate::files::PathError;
use crate::model::event::EventKind;
use crate::model::order;
use crate::model::outcome::RunOutcome;
use crate::model::plan::{Plan, Scope};
use crate::model::skip::Skips;
use crate::recovery::{Line, Place, Report};
use crate::report::{Clock, EventSink, Hub, ReporterFailure};
use crate::scheduler::{self, FailurePolicy, StopRequest};
use crate::settings::{self, Settings};
use crate::state::journal::{self, Entry, Journal, JournalError};
use crate::state::lock::Holder;
use crate::state::records::Records;
use crate::state::records::keys::KeyRecord;
use crate::state::{RunDir, StateDir, runs};
use crate::steps::Handover;
use crate::steps::build::first::FirstStart;
use crate::steps::build::{self, BuildTools};
use crate::steps::capture::Provenance;
use crate::steps::places::Places;
use crate::steps::register::Registry;
use crate::steps::room::Room;
use crate::store::hashes_file::{self, HashesFileError};
use crate::tools::{self, Note, Runner, Toolchain};

use super::cache;
use super::context::Context;
use super::failure::{Failure, Kind};
use super::forecast::{Forecast, first_start};
use super::job::{Job, THREADS};
use super::project::Project;
use super::publishing;
use super::reporters::reporters;
use super::unchanged::{self, Asked};
use super::{nothing, recover, run_lock, wsl};

/// Builds, captures and registers what the command line selects. Returns the exit code.
///
/// # Errors
/// What keeps the run from starting; what fails later is in the events and in the exit code.
pub fn run(context: &Context) -> Result<u8, Failure> {
    let project = Project::load(context)?;
    let host = tools::Host::capture(&context.environment);
    host.refuse_root().map_err(|error| tool_failure(&error))?;
    refuse_misplaced(&project.settings, &host)?;
    let scope = Project::scope(context);
    let forecast = Forecast::of(&project, scope, project.settings.jobs.value);
    let mut plan = forecast.plan(&project, scope)?;
    check_hashes_file(&project)?;
    let clock: Clock = Arc::new(Timestamp::now);
    let run = run_id(clock());
    let state = StateDir::at(project.settings.state_dir.value.clone());
    let command = command_line();
    let asked = Asked::of(context, &project)?;
    let may_skip = scope == Scope::Full && !asked.everything(context);
    let mut lock = None;
    if may_skip && state.records().exists() {
        state.create().map_err(path_failure)?;
        let held = run_lock::take(&state, &command, clock(), &context.cli.run.wait)?;
        // What a killed run left is put in order first.
        if held.dead.is_none() && !state.journal().exists() {
            let records = open_records(&state)?;
            let judged = unchanged::judge(context, &project, &plan, &records, &asked, clock())?;
            let skips = unchanged::skips(&judged);
            if skips.len() == plan.variants.len() {
                let record = judged.iter().find_map(|one| one.record.as_ref());
                let store = record.map_or("local", KeyRecord::kind);
                return nothing::to_do(context, store, &plan, &skips, &run, &clock);
            }
        }
        lock = Some(held);
    }
    let (runner, store, mut notes) = probe(context, &project, scope, host.clone())?;
    let guarding = match &runner {
        Some(runner) => wsl::guarding(
            &wsl::Place {
                settings: &project.settings,
                environment: &context.environment,
                host: &host,
                project_dir: &project.directory,
            },
            runner,
        )?,
        None => None,
    };
    check_words(runner.as_ref(), &project, &plan, &run)?;
    state.create().map_err(path_failure)?;
    let lock = match lock {
        Some(lock) => lock,
        None => run_lock::take(&state, &command, clock(), &context.cli.run.wait)?,
    };
    let place = Place {
        settings: &project.settings,
        state: &state,
        environment: &context.environment,
        engine: runner.as_ref().and_then(Runner::engine),
        command: &command,
        now: clock(),
        dry_run: false,
    };
    let recovered = recover::at_start(&place, &lock)?;
    let records = Arc::new(open_records(&state)?);
    let (keys, skips) = match &runner {
        Some(runner) => {
            let (keys, skips) = unchanged::look_closer(
                context, &project, &plan, runner, &store, &records, &asked, &clock,
            )?;
            if skips.len() == plan.variants.len() {
                return nothing::to_do(context, store.kind(), &plan, &skips, &run, &clock);
            }
            (Some(keys), skips)
        }
        None => (None, Skips::none()),
    };
    order::improve(&mut plan, &skips);
    let plan = Arc::new(plan);
    let pruned = prune_runs(&state, &project.settings);
    // Held until the run ends: nobody removes from the caches what a build is about to use.
    let _caches = match scope {
        Scope::Full => Some(cache::enter(
            &project,
            &Holder::this(&command, clock()),
            &context.cli.run.wait,
        )?),
        Scope::FromDeploy | Scope::FromOutput => None,
    };
    let run_dir = state.run(&run);
    run_dir
        .create(plan.variants.iter().map(|variant| &variant.key))
        .map_err(path_failure)?;
    records
        .record_run_started(&run, &command, clock())
        .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
    let journal = begin_journal(&state, &run, clock())?;
    let (hub, events) = Hub::start(
        &run,
        Arc::clone(&clock),
        reporters(context, &project.settings, &run_dir, &clock)?,
    )
    .map_err(environment)?;
    let opened = super::store::open(store, &state, project.settings.store_write.value, &run);
    notes.extend(opened.note);
    notes.extend(publishing::open_files(context, &plan));
    let watcher = match (&runner, &opened.undo) {
        (None, None) => None,
        _ => Some(start_watcher(&run_dir)?),
    };
    let first = FirstStart::until(first_start(runner.as_ref(), &project));
    let job = Job {
        plan: Arc::clone(&plan),
        scope,
        run: run.clone(),
        settings: Arc::new(project.settings.clone()),
        build_tools: runner.map(|runner| BuildTools {
            runner,
            watcher: watcher.clone(),
            guarding,
            project_dir: project.directory.clone(),
            system_root: project.system_root.clone(),
        }),
        registry: Registry {
            batch: publishing::batch(context, plan.variants.len() - skips.len()),
            ..Registry::new(
                opened.store,
                Arc::clone(&records),
                Arc::clone(&clock),
                command,
            )
        },
        provenance: provenance(context, scope, &records),
        build_dir: project.build_dir.clone(),
        events: events.clone(),
        handover: Arc::new(Handover::with(first, Places::on(forecast.machine.cores()))),
        room: Arc::new(Room::default()),
        machine: forecast.machine,
        shared: forecast.shared,
        own_threads: THREADS.map(|name| {
            let of_settings = project.settings.env.value.contains_key(name);
            of_settings || context.environment.get(name).is_some()
        }),
        journal: Arc::clone(&journal),
        keys: keys.clone(),
        rebuild: asked,
    };
    if let Err(error) = pruned {
        events.warn(None, error.to_string(), error.hint());
    }
    let plan = (&*plan, &skips);
    let beginning = Beginning {
        recovered,
        notes,
        watcher,
        undo: opened.undo,
    };
    let outcome = walk(context, job, plan, &events, &project, beginning)?;
    drop(events);
    if let Some(keys) = keys {
        keys.tidy();
    }
    if let Err(error) = journal.end(&run) {
        say_late(&error.to_string());
    }
    // The run has ended as it has; that nobody can look it up later changes nothing of that.
    if let Err(error) = records.record_run_finished(&run, outcome_word(outcome), clock()) {
        say_late(&error.to_string());
    }
    for failure in drawn(hub).into_iter().filter(|failure| !failure.told) {
        say_late(&failure.to_string());
    }
    Ok(outcome.exit_code())
}

/// Waits until every event is drawn. A reporter can stand still for good, as on a pipe that nobody reads:
/// a signal ends the wait.
fn drawn(hub: Hub) -> Vec<ReporterFailure> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return hub.join();
    };
    let failures = runtime.block_on(async {
        let requests = requests();
        let joined = tokio::task::spawn_blocking(move || hub.join());
        match requests {
            Ok(mut requests) => tokio::select! {
                failures = joined => failures.unwrap_or_default(),
                _ = requests.recv() => Vec::new(),
            },
            Err(_) => joined.await.unwrap_or_default(),
        }
    });
    runtime.shutdown_background();
    failures
}

/// Says what no reporter is there for any more.
fn say_late(message: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(io::stderr(), "warning: {message}");
}

fn environment(error: impl std::fmt::Display) -> Failure {
    Failure::environment(error)
}

fn path_failure(error: PathError) -> Failure {
    Failure::environment(&error).hint(error.hint())
}

fn tool_failure(error: &tools::ToolError) -> Failure {
    Failure::environment(error).hint(error.hint())
}

fn outcome_word(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Succeeded => "succeeded",
        RunOutcome::Failed => "failed",
        RunOutcome::Interrupted => "interrupted",
        RunOutcome::Terminated => "terminated",
    }
}

/// Says before anything is started which words kas-container would mangle, as a path with a blank.
fn check_words(
    runner: Option<&Runner>,
    project: &Project,
    plan: &Plan,
    run: &str,
) -> Result<(), Failure> {
    let Some(Runner::Container { .. }) = runner else {
        return Ok(());
    };
    for variant in plan.variants.iter() {
        build::check_words(&project.settings, &project.directory, variant, run)
            .map_err(|word| Failure::environment(&word).hint(Some(word.hint())))?;
    }
    Ok(())
}

/// Removes the logs of old runs; those that the journal still knows stay.
fn prune_runs(state: &StateDir, settings: &Settings) -> Result<(), PathError> {
    let open: Vec<String> = journal::read(&state.journal())
        .unwrap_or_default()
        .iter()
        .map(|entry| entry.run().to_owned())
        .collect();
    runs::prune(state, settings.keep_runs.value, &open)
}

/// Says before anything is built what would keep its hashes from being written.
fn check_hashes_file(project: &Project) -> Result<(), Failure> {
    let path = &project.settings.hashes_file.value;
    hashes_file::check(path).map_err(|error| {
        let kind = match error {
            HashesFileError::Text { .. } | HashesFileError::NotUtf8 { .. } => Kind::Configuration,
            HashesFileError::Lock(_) | HashesFileError::Path(_) => Kind::Environment,
        };
        Failure::new(kind, &error).hint(error.hint())
    })
}

/// Refuses directories on a Windows drive before anything is made in one.
fn refuse_misplaced(settings: &Settings, host: &tools::Host) -> Result<(), Failure> {
    let misplaced = wsl::misplaced(settings, &crate::wsl::Machine::capture(host))?;
    if misplaced.is_empty() {
        return Ok(());
    }
    Err(Failure::environment(misplaced.join("\n       ")).hint(Some(wsl::MOVE.to_owned())))
}

fn open_records(state: &StateDir) -> Result<Records, Failure> {
    Records::open(&state.records()).map_err(|error| Failure::environment(&error).hint(error.hint()))
}

/// What the run needs of the host: an engine only where something is built.
fn probe(
    context: &Context,
    project: &Project,
    scope: Scope,
    host: tools::Host,
) -> Result<(Option<Runner>, tools::Store, Vec<Note>), Failure> {
    let (settings, environment) = (&project.settings, &context.environment);
    if scope == Scope::Full {
        let toolchain = Toolchain::probe_on(host, settings, environment)
            .map_err(|error| tool_failure(&error))?;
        let mut notes = toolchain.notes();
        notes.extend(toolchain.store.note());
        return Ok((Some(toolchain.runner), toolchain.store, notes));
    }
    let store = tools::Store::probe(settings, environment).map_err(|error| tool_failure(&error))?;
    let notes = store.note().into_iter().collect();
    Ok((None, store, notes))
}

/// Starts the watcher, which must be there before anything that it might have to undo.
fn start_watcher(run_dir: &RunDir) -> Result<Watcher, Failure> {
    let program = std::env::current_exe().map_err(environment)?;
    let log = run_dir.root().join("watcher.log");
    Watcher::start(&program, &log).map_err(environment)
}

/// Opens the journal with the first entry of this run.
fn begin_journal(state: &StateDir, run: &str, at: Timestamp) -> Result<Arc<Journal>, Failure> {
    let begin = || {
        let journal = Journal::open(&state.journal())?;
        journal.intend(&Entry::RunStarted {
            run: run.to_owned(),
            pid: std::process::id(),
            at,
        })?;
        Ok(Arc::new(journal))
    };
    begin().map_err(|error: JournalError| Failure::environment(&error).hint(error.hint()))
}

fn provenance(context: &Context, scope: Scope, records: &Arc<Records>) -> Provenance {
    match scope {
        Scope::FromDeploy if context.cli.mode.adopt => Provenance::Adopted,
        Scope::FromDeploy => Provenance::Recorded(Arc::clone(records)),
        Scope::Full | Scope::FromOutput => Provenance::Built(Arc::clone(records)),
    }
}

/// `20261122T031409Z-1f3a`: sorts by time; the process id tells runs of one second apart.
fn run_id(now: Timestamp) -> String {
    format!(
        "{}-{:x}",
        now.strftime("%Y%m%dT%H%M%SZ"),
        std::process::id()
    )
}

/// The program and its arguments; what is not UTF-8 is replaced.
pub(super) fn arguments() -> Vec<String> {
    std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

pub(super) fn command_line() -> String {
    arguments().join(" ")
}

/// What is there when the walk begins.
struct Beginning {
    /// What was put in order.
    recovered: Report,
    /// What there is to say of the tools.
    notes: Vec<Note>,
    /// Who undoes what we leave.
    watcher: Option<Watcher>,
    /// What ends the programs that write into the store.
    undo: Option<Undo>,
}

/// Walks the plan under a runtime of its own, from `run_started` to `run_finished`.
fn walk(
    context: &Context,
    job: Job,
    (plan, skips): (&Plan, &Skips),
    events: &EventSink,
    project: &Project,
    beginning: Beginning,
) -> Result<RunOutcome, Failure> {
    let begin = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(environment)?;
    let policy = match (context.cli.run.keep_going, context.cli.run.fail_fast) {
        (true, _) => FailurePolicy::KeepGoing,
        (_, true) => FailurePolicy::StopRunning,
        _ => FailurePolicy::FinishRunning,
    };
    let outcome = runtime.block_on(async {
        let requests = requests().map_err(environment)?;
        // As long as this one is held, the watcher ends only when something else ended it.
        let watcher = beginning.watcher.clone();
        let listener = tokio::spawn(say_when_dead(watcher, events.clone()));
        events.emit(EventKind::RunStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            args: arguments().split_off(1),
            store: job.registry.store.kind().to_owned(),
        });
        say_recovered(beginning.recovered, events);
        say_what_to_know(
            context,
            project,
            events,
            beginning.notes,
            job.build_tools.is_some(),
        );
        for what in &job.machine.unknown {
            events.note(None, format!("it cannot be told: {what}"));
        }
        let batch = job.registry.batch.clone();
        let guard = guard_store(beginning.watcher.as_ref(), beginning.undo, events).await;
        let outcome = scheduler::run(plan, skips, Arc::new(job), policy, events, requests).await;
        // Every step has ended, and with it what it had started.
        if let Some(guard) = guard {
            guard.release();
        }
        listener.abort();
        publishing::say_unpublished(batch.as_deref(), events);
        Ok(outcome)
    })?;
    events.emit(EventKind::RunFinished {
        outcome,
        exit: outcome.exit_code(),
        seconds: begin.elapsed().as_secs_f64(),
    });
    Ok(outcome)
}

/// Names to the watcher what writes into the store, before any of it is started.
async fn guard_store(
    watcher: Option<&Watcher>,
    undo: Option<Undo>,
    events: &EventSink,
) -> Option<Guard> {
    match watcher?.guard("store", undo?).await {
        Ok(guard) => Some(guard),
        Err(error) => {
            let message = format!("{error}: if we are killed, what writes into the store goes on");
            events.warn(None, message, None);
            None
        }
    }
}

/// Waits for the watcher's end and warns of it. The watcher lives as long as this, or longer.
async fn say_when_dead(watcher: Option<Watcher>, events: EventSink) {
    let Some(watcher) = watcher else { return };
    if watcher.dead().wait_for(|dead| *dead).await.is_ok() {
        events.warn(
            None,
            "the watcher has ended: if we are killed now, the builds that run go on",
            Some("stop the run with Control-C, which needs no watcher, and start it again".into()),
        );
    }
}

/// Both signals, in the order in which they come.
fn requests() -> io::Result<mpsc::Receiver<StopRequest>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        loop {
            let request = tokio::select! {
                Some(()) = interrupt.recv() => StopRequest::Interrupt,
                Some(()) = terminate.recv() => StopRequest::Terminate,
                else => break,
            };
            if sender.send(request).await.is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

/// What of an earlier run had to be put in order first.
fn say_recovered(report: Report, events: &EventSink) {
    for line in report.lines {
        match line {
            Line::Done(what) | Line::Known(what) => {
                events.warn(None, format!("of an earlier run: {what}"), None);
            }
            Line::Failed { message, hint } => {
                let hint = hint.or_else(|| Some("isar-build-all recover".to_owned()));
                events.warn(None, format!("of an earlier run: {message}"), hint);
            }
        }
    }
}

/// Warnings that stop nothing: of kas files, of settings, of tools.
fn say_what_to_know(
    context: &Context,
    project: &Project,
    events: &EventSink,
    notes: Vec<Note>,
    job_builds: bool,
) {
    if !project.warnings.is_empty() {
        events.warn(None, project.warnings.trim_end(), None);
    }
    let of_settings = project.settings.warnings();
    let unknown = settings::unknown_variables(&context.environment);
    for message in of_settings.into_iter().chain(unknown) {
        events.warn(
            None,
            message,
            Some("isar-build-all config shows every value and its place".into()),
        );
    }
    if job_builds {
        for name in build::OVERRIDES {
            if context.environment.get(name).is_some() {
                let message = format!("{name} is set and is not passed on to kas");
                let hint = "what a variant builds is in its kas files; add one with --overlay";
                events.warn(None, message, Some(hint.into()));
            }
        }
    }
    for note in notes {
        events.warn(None, note.message, Some(note.hint));
    }
}
