//! Describes the outputs of a run, from which its reporters are chosen.

use std::sync::Arc;

use crate::event::Clock;
use crate::project::context::Context;
use crate::report::{CiSystem, ReportContext, terminal};
use crate::settings::{Ci, Settings};
use crate::state::RunDir;

/// The CI system, the terminals and the files that reporters of this run may draw to.
pub(crate) fn report_context(
    context: &Context,
    settings: &Settings,
    run_dir: &RunDir,
    clock: &Clock,
) -> ReportContext {
    ReportContext {
        clock: Arc::clone(clock),
        ci: match context.surroundings.ci {
            Ci::Github => Some(CiSystem::GitHub),
            Ci::Gitlab => Some(CiSystem::GitLab),
            Ci::Other | Ci::None => None,
        },
        stderr_is_terminal: context.surroundings.terminal.stderr,
        verbose: context.arguments.output.verbose,
        stdout_color: context.colors_output(settings),
        stderr_color: context.colors_errors(settings),
        stdout_columns: terminal::stdout_size().map(|(columns, _)| columns),
        record: run_dir.events(),
        events: context.arguments.run.events.clone(),
        step_summary: context.surroundings.step_summary.clone(),
    }
}
