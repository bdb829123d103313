//! Which reporters draw a run: those that suit where we run. Knows nothing of what they are told.

use std::io;
use std::sync::Arc;

use super::context::Context;
use super::failure::Failure;
use crate::report::bars::Bars;
use crate::report::github::{GitHub, random_token};
use crate::report::gitlab::GitLab;
use crate::report::jsonl::JsonLines;
use crate::report::plain::{Plain, PlainOptions};
use crate::report::summary::Summary;
use crate::report::{Clock, Reporter, terminal};
use crate::settings::{Ci, Settings};
use crate::state::RunDir;

/// How wide the summary is where there is no terminal.
const NO_TERMINAL_COLUMNS: usize = 200;

/// The reporters that suit where we run. The record of the run is always written.
pub(super) fn reporters(
    context: &Context,
    settings: &Settings,
    run_dir: &RunDir,
    clock: &Clock,
) -> Result<Vec<Box<dyn Reporter>>, Failure> {
    let clock = || Arc::clone(clock);
    let unwritable = |path: &std::path::Path| {
        let path = path.display().to_string();
        move |error: io::Error| Failure::environment(format!("{path} cannot be written: {error}"))
    };
    let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
    let record = run_dir.events();
    reporters.push(Box::new(
        JsonLines::create(&record).map_err(unwritable(&record))?,
    ));
    let events = context.cli.run.events.as_deref();
    if let Some(path) = events {
        reporters.push(Box::new(JsonLines::create(path).map_err(unwritable(path))?));
    }
    // Nothing else goes where the events go.
    let stdout_is_free = events != Some(std::path::Path::new("-"));
    let (stdout, stderr) = (
        context.colors_output(settings),
        context.colors_errors(settings),
    );
    let verbose = context.cli.output.verbose;
    reporters.push(match context.surroundings.ci {
        Ci::Github if stdout_is_free => Box::new(GitHub::new(
            Box::new(io::stdout()),
            clock(),
            stdout,
            context.surroundings.step_summary.as_deref(),
            Box::new(random_token),
        )),
        Ci::Gitlab if stdout_is_free => {
            Box::new(GitLab::new(Box::new(io::stdout()), clock(), stdout))
        }
        _ if context.surroundings.terminal.stderr && !verbose => {
            Box::new(Bars::stderr(clock(), stderr))
        }
        _ => Box::new(Plain::new(
            Box::new(io::stderr()),
            clock(),
            PlainOptions {
                verbose,
                color: stderr,
            },
        )),
    });
    let columns = terminal::stdout_size().map_or(NO_TERMINAL_COLUMNS, |(columns, _)| columns);
    if stdout_is_free {
        reporters.push(Box::new(Summary::new(
            Box::new(io::stdout()),
            columns,
            stdout,
        )));
    }
    Ok(reporters)
}
