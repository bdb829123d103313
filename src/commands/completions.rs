//! `completions`: a completion script for a shell.

use std::process::ExitCode;

use clap::Args;

use crate::base::failure::Failure;
use crate::commands::output::print;
use crate::commands::{Invocation, NAME, Subcommand};

/// Print completions for a shell
#[derive(Debug, Args)]
struct CompletionsArgs {
    /// The shell.
    shell: clap_complete::Shell,
}

pub(super) struct CompletionsCommand;

impl Subcommand for CompletionsCommand {
    fn define(&self) -> clap::Command {
        CompletionsArgs::augment_args(clap::Command::new("completions"))
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        let CompletionsArgs { shell } = call.args()?;
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut call.tool.command(), NAME, &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
