//! `man`: the manual page, in roff.

use std::process::ExitCode;

use crate::base::failure::Failure;
use crate::commands::output::print;
use crate::commands::{Invocation, Subcommand};

pub(super) struct ManCommand;

impl Subcommand for ManCommand {
    fn define(&self) -> clap::Command {
        clap::Command::new("man").about("Print the manual page")
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        let mut page = Vec::new();
        clap_mangen::Man::new(call.tool.command())
            .render(&mut page)
            .map_err(Failure::internal)?;
        print(&String::from_utf8_lossy(&page))
    }
}
