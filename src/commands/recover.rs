//! `recover`: recovers what killed runs left, and reports it.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use crate::base::failure::{Failure, FailureKind};
use crate::commands::output::print_with;
use crate::commands::{Invocation, Subcommand};
use crate::event::outcome::RunOutcome;
use crate::fs::lock::Holder;
use crate::host::identity::Host;
use crate::project::arguments::WaitArgs;
use crate::project::context::Context;
use crate::recovery;
use crate::recovery::{RecoveryLine, RecoveryPlace, RecoveryReport};
use crate::run::lock;
use crate::settings::Settings;
use crate::settings::StoreWrite;
use crate::state::StateDir;
use crate::state::journal::JournalError;
use crate::steps::step::Step;
use crate::store::backend::StoreRun;
use crate::store::choice::ChosenStore;
use crate::tools::Engine;

/// Recover from killed runs: containers, half-done registrations, captures, locks
#[derive(Debug, Args)]
struct RecoverArgs {
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Whether to wait for a run.
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) struct RecoverCommand;

impl Subcommand for RecoverCommand {
    fn define(&self) -> clap::Command {
        RecoverArgs::augment_args(clap::Command::new("recover"))
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        let steps = &call.tool.parts.steps;
        print_with(run(&call.context()?, &call.args()?, steps)?)
    }
}

/// The text to print, and the exit code: 10 if something could not be recovered.
///
/// # Errors
/// Faults of the settings; a run that is alive.
fn run(
    context: &Context,
    args: &RecoverArgs,
    steps: &[&'static dyn Step],
) -> Result<(String, u8), Failure> {
    let settings = settings(context)?;
    let host = Host::capture(&context.environment);
    host.refuse_root()
        .map_err(|error| Failure::environment(error).hint(error.hint()))?;
    let state = StateDir::at(settings.state_dir.value.clone());
    if !state.root().exists() {
        let nothing = format!(
            "Nothing to recover: there is no {}.\n",
            state.root().display()
        );
        return Ok((nothing, 0));
    }
    state.create().map_err(Failure::environment)?;
    let now = Timestamp::now();
    let command = context.command_line();
    let lock = lock::acquire(&state, &Holder::this(&command, now), args.wait.limit())?;
    let engine = Engine::find(&settings, &context.environment, &host);
    let opening = StoreRun {
        id: "recover",
        state_dir: state.root(),
        local: &state.store(),
        write: StoreWrite::Auto,
    };
    let store = ChosenStore::choose(&context.backends, &settings, &context.environment)
        .ok()
        .map(|store| store.open(&opening).store);
    let place = RecoveryPlace {
        settings: &settings,
        state: &state,
        environment: &context.environment,
        products: &context.products,
        backends: &context.backends,
        engine: engine.as_ref().ok(),
        steps,
        command: &command,
        now,
        dry_run: args.dry_run,
    };
    let mut report = recovery::everything(&place, store.as_ref()).map_err(unreadable)?;
    lock.report_takeover(&mut report);
    let code = if report.has_failures() {
        RunOutcome::Failed.exit_code()
    } else {
        0
    };
    Ok((text(&report, args.dry_run), code))
}

fn unreadable(error: JournalError) -> Failure {
    Failure::environment(&error).hint(error.hint())
}

/// The settings alone: recovery must work although variants.toml names a kas file that does not exist.
fn settings(context: &Context) -> Result<Settings, Failure> {
    match context.project_file()? {
        Some(file) => context.settings(file),
        None => Err(Failure::new(
            FailureKind::Configuration,
            "there is no variants.toml in this directory or above, so the state directory is unknown",
        )
        .hint(Some("name the file with `-f FILE`".to_owned()))),
    }
}

fn text(report: &RecoveryReport, dry_run: bool) -> String {
    let mut out = String::new();
    for line in &report.lines {
        // Writing to a String cannot fail.
        let _ = match line {
            RecoveryLine::Done(what) => writeln!(out, "{what}"),
            RecoveryLine::Known(what) => writeln!(out, "note: {what}"),
            RecoveryLine::Failed { message, hint } => {
                let _ = writeln!(out, "failed: {message}");
                match hint {
                    Some(hint) => writeln!(out, "hint: {hint}"),
                    None => Ok(()),
                }
            }
        };
    }
    if !report.did_anything() && !report.has_failures() {
        out.push_str("Nothing to recover.\n");
    } else if dry_run {
        out.push_str("Nothing was changed.\n");
    }
    out
}
