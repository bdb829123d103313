//! `check`: reads the matrix, its kas files and the settings, and reports every fault.

use std::process::ExitCode;

use crate::base::failure::Failure;
use crate::commands::output::print;
use crate::commands::{Invocation, Subcommand};
use crate::event::numbers;
use crate::project::Project;

pub(super) struct CheckCommand;

impl Subcommand for CheckCommand {
    fn define(&self) -> clap::Command {
        clap::Command::new("check").about("Check the matrix and every kas file it names")
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        let project = Project::load(&call.context()?)?;
        let variants = &project.matrix.variants;
        let artifacts: usize = variants.iter().map(|one| one.artifacts.len()).sum();
        print(&format!(
            "{}{} with {}: no faults\n",
            project.warnings,
            numbers::count(variants.len(), "variant"),
            numbers::count(artifacts, "artifact")
        ))
    }
}
