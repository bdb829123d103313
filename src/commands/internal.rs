//! Hidden subcommands: the roles in which the tool starts itself.
//!
//! None of them reads the environment or variants.toml before its room takes over.

use std::process::ExitCode;

use clap::Args;

use crate::base::failure::Failure;
use crate::commands::{Invocation, Subcommand};
use crate::exec::watcher;
use crate::watchdog;
use crate::wsl::drive_users;

/// The words that the starting process passes.
#[derive(Debug, Args)]
struct InternalArgs {
    /// The words that the starting process passes
    #[arg(allow_hyphen_values = true)]
    words: Vec<String>,
}

fn define(name: &'static str, about: &'static str) -> clap::Command {
    InternalArgs::augment_args(clap::Command::new(name))
        .about(about)
        .hide(true)
}

fn words(call: &Invocation<'_>) -> Result<Vec<String>, Failure> {
    call.args::<InternalArgs>().map(|args| args.words)
}

/// `internal-watcher LOG`
pub(super) struct WatcherCommand;

impl Subcommand for WatcherCommand {
    fn define(&self) -> clap::Command {
        define(
            watcher::SUBCOMMAND,
            "Stop the programs of a run that was killed; every run starts this",
        )
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        Ok(watcher::main(&words(call)?))
    }
}

/// `internal-holders PROC AUTOMOUNT DEVICE…`
pub(super) struct HoldersCommand;

impl Subcommand for HoldersCommand {
    fn define(&self) -> clap::Command {
        define(
            drive_users::SUBCOMMAND,
            "Find, as root, the processes that use a drive; started when one cannot be unmounted",
        )
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        Ok(drive_users::main(&words(call)?))
    }
}

/// `internal-processes PID MARK…`
pub(super) struct ProcessesCommand;

impl Subcommand for ProcessesCommand {
    fn define(&self) -> clap::Command {
        define(
            watchdog::SUBCOMMAND,
            "Read the state of a silent build from /proc; started by a run",
        )
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        Ok(watchdog::main(&words(call)?))
    }
}
