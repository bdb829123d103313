//! `cache`: lists, audits and prunes the caches of downloads and shared state.

mod audit;
mod list;
mod prune;

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use crate::caches::Cache;
use crate::commands::output::print_with;
use crate::commands::{Invocation, Subcommand};
use crate::fs::lock::{Holder, LockError};
use crate::settings::Settings;

use crate::base::failure::{Failure, FailureKind};
use crate::project::context::Context;

/// List, audit and prune the caches of downloads and shared state
#[derive(Debug, Args)]
struct CacheArgs {
    #[command(subcommand)]
    action: CacheAction,
}

#[derive(Debug, clap::Subcommand)]
enum CacheAction {
    /// List the caches: path, architecture, files, size, last use
    List,
    /// Find faults: files for another architecture, one name for different contents, recipes that cause
    /// it, unfinished downloads. Exits with 10 if there is one
    Audit,
    /// Remove the least recently used objects; fails while a build uses a cache
    Prune(prune::PruneArgs),
}

pub(super) struct CacheCommand;

impl Subcommand for CacheCommand {
    fn define(&self) -> clap::Command {
        CacheArgs::augment_args(clap::Command::new("cache"))
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        print_with(run(&call.context()?, &call.args()?)?)
    }
}

/// The text to print, and the exit code.
///
/// # Errors
/// Faults of the settings; a cache that cannot be read.
fn run(context: &Context, args: &CacheArgs) -> Result<(String, u8), Failure> {
    match &args.action {
        CacheAction::List => list::run(context),
        CacheAction::Audit => audit::run(context),
        CacheAction::Prune(args) => prune::run(context, args),
    }
}

/// The settings, which need no valid matrix.
fn settings(context: &Context) -> Result<Settings, Failure> {
    let layers = context.layers(context.project_file()?)?;
    Settings::resolve(&layers).map_err(|error| {
        Failure::report(
            FailureKind::Configuration,
            error.render(context.colors_stderr()),
        )
    })
}

fn present(settings: &Settings) -> Vec<Cache> {
    Cache::present(&settings.dl_dir.value, &settings.sstate_dir.value)
}

/// The holder that a lock of this process names.
fn this(context: &Context) -> Holder {
    Holder::this(&context.command_line(), Timestamp::now())
}

fn locked(error: &LockError) -> Failure {
    Failure::environment(error).hint(error.hint())
}

fn unreadable(error: &crate::fs::PathError) -> Failure {
    Failure::environment(error).hint(error.hint())
}
