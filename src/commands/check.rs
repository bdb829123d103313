//! `check`: reads the matrix, its kas files and the settings, and reports every fault.

use std::process::ExitCode;

use crate::base::failure::Failure;
use crate::commands::output::print;
use crate::commands::{Invocation, Subcommand};
use crate::event::numbers::count;
use crate::project::Project;
use crate::run::kas_schema::{self, LoadedSchema};
use crate::state::StateDir;

pub(super) struct CheckCommand;

impl Subcommand for CheckCommand {
    fn define(&self) -> clap::Command {
        clap::Command::new("check").about("Check the matrix and every kas file it names")
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        let context = call.context()?;
        let project = Project::load(&context)?;
        let state = StateDir::at(project.settings.state_dir.value.clone());
        let schema = kas_schema::probe(&project, &state, &context.environment);
        let known = schema.as_ref().ok().map(LoadedSchema::known);
        let color = context.colors_stderr();
        let warnings = project.check_chains(project.matrix.variants.iter(), known, color)?;
        let basis = match &schema {
            Ok(loaded) if loaded.is_exact => format!(
                "kas files agree with the schema of kas {}\n",
                loaded.schema.kas_version
            ),
            Ok(loaded) => format!(
                "kas files were compared with the schema of the installed kas {}: the container image is not here yet\n",
                loaded.schema.kas_version
            ),
            Err(why) => format!("kas files were not compared with kas's schema: {why}\n"),
        };
        let variants = &project.matrix.variants;
        let artifacts: usize = variants.iter().map(|one| one.artifacts.len()).sum();
        print(&format!(
            "{}{warnings}{basis}{} with {}: no faults\n",
            project.warnings,
            count(variants.len(), "variant"),
            count(artifacts, "artifact"),
        ))
    }
}
