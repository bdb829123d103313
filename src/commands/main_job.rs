//! The command line without a subcommand: a run, or a view of what it would do.

use std::process::ExitCode;

use crate::base::failure::Failure;
use crate::commands::output::print;
use crate::commands::{Invocation, dry_run, list};

pub(super) fn run(call: &Invocation<'_>) -> Result<ExitCode, Failure> {
    let context = call.context()?;
    let mode = &context.arguments.mode;
    if mode.list {
        return print(&list::list(&context)?);
    }
    if mode.dry_run {
        return print(&dry_run::dry_run(&context, &call.tool.parts)?);
    }
    crate::run::run(&context, &call.tool.parts).map(ExitCode::from)
}
