//! `recover`: puts in order what killed runs left, and says what. Also the beginning of every run.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::cache;
use super::context::Context;
use super::failure::{Failure, Kind};
use super::run::command_line;
use super::run_lock::{self, RunLock};
use crate::cli::RecoverArgs;
use crate::model::outcome::RunOutcome;
use crate::recovery::{self, Line, Place, Report};
use crate::settings::Settings;
use crate::settings::StoreWrite;
use crate::state::StateDir;
use crate::state::journal::JournalError;
use crate::tools::{self, Engine, Host};

/// Recovers and tells; the exit code is 10 where something could not be put in order.
///
/// # Errors
/// What keeps it from starting: settings, a living run.
pub fn run(context: &Context, args: &RecoverArgs) -> Result<(String, u8), Failure> {
    let settings = settings(context)?;
    let host = Host::capture(&context.environment);
    host.refuse_root()
        .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
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
    let command = command_line();
    let lock = run_lock::take(&state, &command, now, &args.wait)?;
    let engine = Engine::find(&settings, &context.environment, &host);
    let store = tools::Store::probe(&settings, &context.environment)
        .ok()
        .map(|store| super::store::open(store, &state, StoreWrite::Auto, "recover").store);
    let place = Place {
        settings: &settings,
        state: &state,
        environment: &context.environment,
        engine: engine.as_ref().ok(),
        command: &command,
        now,
        dry_run: args.dry_run,
    };
    let mut report = recovery::everything(&place, store.as_ref()).map_err(unreadable)?;
    said_first(&lock, &mut report);
    let locks = cache::clear_locks(&settings, args.dry_run);
    report.lines.extend(locks.into_iter().map(Line::Done));
    let code = if report.has_failures() {
        RunOutcome::Failed.exit_code()
    } else {
        0
    };
    Ok((text(&report, args.dry_run), code))
}

/// What every run does once it has the run lock.
///
/// # Errors
/// When the journal cannot be read: nobody then knows what is half done.
pub(super) fn at_start(place: &Place<'_>, lock: &RunLock) -> Result<Report, Failure> {
    let mut report = recovery::at_start(place).map_err(unreadable)?;
    said_first(lock, &mut report);
    Ok(report)
}

fn unreadable(error: JournalError) -> Failure {
    Failure::environment(&error).hint(error.hint())
}

fn said_first(lock: &RunLock, report: &mut Report) {
    if let Some(holder) = &lock.dead {
        let said = format!(
            "took over the run lock of process {}, which is gone",
            holder.pid
        );
        report.lines.insert(0, Line::Done(said));
    }
}

/// Settings are enough: what was left can be cleared although variants.toml names a kas file that is
/// gone.
fn settings(context: &Context) -> Result<Settings, Failure> {
    match context.project_file()? {
        Some(file) => context.settings(file),
        None => Err(Failure::new(
            Kind::Configuration,
            "there is no variants.toml here or above, so there is no state directory to look at",
        )
        .hint(Some("name the file with `-f FILE`".to_owned()))),
    }
}

fn text(report: &Report, dry_run: bool) -> String {
    let mut out = String::new();
    for line in &report.lines {
        // Writing to a String cannot fail.
        let _ = match line {
            Line::Done(what) => writeln!(out, "{what}"),
            Line::Known(what) => writeln!(out, "note: {what}"),
            Line::Failed { message, hint } => {
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
