//! The main job: from the checked project to the exit code.
//!
//! Puts the parts together and takes them apart again; what happens in between is the scheduler's.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::exec::watcher::Watcher;
use crate::model::event::EventKind;
use crate::model::outcome::RunOutcome;
use crate::model::plan::{Plan, Scope};
use crate::report::bars::Bars;
use crate::report::github::{GitHub, random_token};
use crate::report::gitlab::GitLab;
use crate::report::jsonl::JsonLines;
use crate::report::plain::{Plain, PlainOptions};
use crate::report::summary::Summary;
use crate::report::{Clock, EventSink, Hub, Reporter, terminal};
use crate::scheduler::{self, FailurePolicy, StopRequest};
use crate::settings::{self, Ci};
use crate::state::lock::{Holder, LockFile};
use crate::state::records::Records;
use crate::state::{RunDir, StateDir};
use crate::steps::Handover;
use crate::steps::build::BuildTools;
use crate::steps::capture::Provenance;
use crate::steps::register::Registry;
use crate::store::{LocalStore, NixStore, Store};
use crate::tools::{self, Note, Runner, Toolchain};

use super::context::Context;
use super::failure::Failure;
use super::job::Job;
use super::project::Project;

/// How wide the summary is where there is no terminal.
const NO_TERMINAL_COLUMNS: usize = 200;

/// Builds, captures and registers what the command line selects. Returns the exit code.
///
/// # Errors
/// What keeps the run from starting; what fails later is in the events and in the exit code.
pub fn run(context: &Context) -> Result<u8, Failure> {
    let project = Project::load(context)?;
    let host = tools::Host::capture(&context.environment);
    host.refuse_root().map_err(|error| tool_failure(&error))?;
    let scope = Project::scope(context);
    let (runner, store, notes) = probe(context, &project, scope, host)?;
    let clock: Clock = Arc::new(Timestamp::now);
    let run = run_id(clock());
    let state = StateDir::at(project.settings.state_dir.value.clone());
    state.create().map_err(environment)?;
    let command = command_line();
    let _lock = LockFile::acquire(
        &state.lock("run"),
        &Holder::this(&command, clock()),
        Duration::ZERO,
    )
    .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
    let plan = Arc::new(project.plan(scope)?);
    let run_dir = state.run(&run);
    run_dir
        .create(plan.variants.iter().map(|variant| &variant.key))
        .map_err(environment)?;
    let records = Records::open(&state.records())
        .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
    let records = Arc::new(records);
    records
        .record_run_started(&run, &command, clock())
        .map_err(environment)?;
    let (hub, events) = Hub::start(
        &run,
        Arc::clone(&clock),
        reporters(context, &run_dir, &clock)?,
    )
    .map_err(environment)?;
    let store = Arc::new(open(store, &state));
    let job = Job {
        plan: Arc::clone(&plan),
        scope,
        run: run.clone(),
        settings: Arc::new(project.settings.clone()),
        build_tools: runner
            .map(|runner| build_tools(runner, &project, &run_dir))
            .transpose()?,
        registry: Registry {
            store,
            records: Arc::clone(&records),
            clock: Arc::clone(&clock),
            command,
        },
        provenance: provenance(context, scope, &records),
        build_dir: project.build_dir.clone(),
        events: events.clone(),
        handover: Arc::new(Handover::default()),
    };
    let outcome = walk(context, job, &plan, &events, &project, notes)?;
    drop(events);
    for failure in hub.join() {
        let reporter = failure.reporter;
        tracing::warn!(
            "the reporter `{reporter}` was switched off: {}",
            failure.error
        );
    }
    // The run has ended as it has; that nobody can look it up later changes nothing of that.
    if let Err(error) = records.record_run_finished(&run, outcome_word(outcome), clock()) {
        tracing::warn!("{error}");
    }
    Ok(outcome.exit_code())
}

fn environment(error: impl std::fmt::Display) -> Failure {
    Failure::environment(error)
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
        let notes = toolchain.notes();
        return Ok((Some(toolchain.runner), toolchain.store, notes));
    }
    let store = tools::Store::probe(settings, environment).map_err(|error| tool_failure(&error))?;
    Ok((None, store, Vec::new()))
}

/// Starts the watcher, which must be there before anything that it might have to undo.
fn build_tools(runner: Runner, project: &Project, run_dir: &RunDir) -> Result<BuildTools, Failure> {
    let program = std::env::current_exe().map_err(environment)?;
    let log = run_dir.root().join("watcher.log");
    let watcher = Watcher::start(&program, &log).map_err(environment)?;
    Ok(BuildTools {
        runner,
        watcher: Some(watcher),
        project_dir: project.directory.clone(),
    })
}

fn open(store: tools::Store, state: &StateDir) -> Store {
    match store {
        tools::Store::Nix(nix) => Store::Nix(NixStore {
            store_dir: nix.store_dir,
            state_dir: nix.state_dir,
            ..NixStore::new(nix.program)
        }),
        tools::Store::Local { .. } => Store::Local(LocalStore::new(state.store())),
    }
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

fn command_line() -> String {
    std::env::args().collect::<Vec<_>>().join(" ")
}

/// The reporters that suit where we run. The record of the run is always written.
fn reporters(
    context: &Context,
    run_dir: &RunDir,
    clock: &Clock,
) -> Result<Vec<Box<dyn Reporter>>, Failure> {
    let clock = || Arc::clone(clock);
    let unwritable = |path: &std::path::Path| {
        let path = path.display().to_string();
        move |error: io::Error| Failure::environment(format!("{path} cannot be written: {error}"))
    };
    let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
    let record = run_dir.events();
    reporters.push(Box::new(
        JsonLines::create(&record).map_err(unwritable(&record))?,
    ));
    if let Some(path) = &context.cli.run.events {
        reporters.push(match path.as_os_str() == "-" {
            true => Box::new(JsonLines::to(Box::new(io::stdout()))),
            false => Box::new(JsonLines::create(path).map_err(unwritable(path))?),
        });
    }
    let (stdout, stderr) = (context.colors_stdout(), context.colors_stderr());
    let verbose = context.cli.output.verbose;
    reporters.push(match context.surroundings.ci {
        Ci::Github => Box::new(GitHub::new(
            Box::new(io::stdout()),
            clock(),
            stdout,
            context.surroundings.step_summary.as_deref(),
            Box::new(random_token),
        )),
        Ci::Gitlab => Box::new(GitLab::new(Box::new(io::stdout()), clock(), stdout)),
        _ if context.surroundings.terminal.stderr && !verbose => {
            Box::new(Bars::stderr(clock(), stderr))
        }
        _ => Box::new(Plain::new(
            Box::new(io::stderr()),
            clock(),
            PlainOptions {
                verbose,
                color: stderr,
            },
        )),
    });
    let columns = terminal::stdout_size().map_or(NO_TERMINAL_COLUMNS, |(columns, _)| columns);
    if context.cli.run.events.as_deref() != Some(std::path::Path::new("-")) {
        reporters.push(Box::new(Summary::new(
            Box::new(io::stdout()),
            columns,
            stdout,
        )));
    }
    Ok(reporters)
}

/// Walks the plan under a runtime of its own, from `run_started` to `run_finished`.
fn walk(
    context: &Context,
    job: Job,
    plan: &Plan,
    events: &EventSink,
    project: &Project,
    notes: Vec<Note>,
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
        events.emit(EventKind::RunStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            args: std::env::args().skip(1).collect(),
            store: job.registry.store.kind().to_owned(),
        });
        say_what_to_know(context, project, events, notes);
        Ok(scheduler::run(plan, Arc::new(job), policy, events, requests).await)
    })?;
    events.emit(EventKind::RunFinished {
        outcome,
        exit: outcome.exit_code(),
        seconds: begin.elapsed().as_secs_f64(),
    });
    Ok(outcome)
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

/// Warnings that stop nothing: of kas files, of settings, of tools.
fn say_what_to_know(context: &Context, project: &Project, events: &EventSink, notes: Vec<Note>) {
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
    for note in notes {
        events.warn(None, note.message, Some(note.hint));
    }
}
