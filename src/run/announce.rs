//! Warnings at the beginning of a run: the recovery, and notes for the user about kas files, settings and tools. None
//! of them stops the run.

use crate::event::EventSink;
use crate::recovery::{RecoveryLine, RecoveryReport};
use crate::run::prepare::PreparedRun;
use crate::settings;
use crate::steps::build;
use crate::tools::ToolNote;

/// Emits all warnings. `notes` are those of the tools.
pub(super) fn announce(run: &PreparedRun<'_>, notes: &[ToolNote], events: &EventSink) {
    if let Some(error) = &run.unpruned {
        events.warn(None, error.to_string(), error.hint());
    }
    recovered(&run.recovered, events);
    let (context, project) = (run.planned.context, &run.planned.project);
    if !project.warnings.is_empty() {
        events.warn(None, project.warnings.trim_end(), None);
    }
    let of_settings = project.settings.warnings();
    let unknown = settings::unknown_variables(&context.environment);
    for message in of_settings.into_iter().chain(unknown) {
        let hint = "isar-build-all config shows every value and its place";
        events.warn(None, message, Some(hint.into()));
    }
    if run.tools.runner.is_some() {
        for name in build::OVERRIDES {
            if context.environment.get(name).is_some() {
                let message = format!("{name} is set and is not passed on to kas");
                let hint = "what a variant builds is in its kas files; add one with --overlay";
                events.warn(None, message, Some(hint.into()));
            }
        }
    }
    for note in notes {
        events.warn(None, note.message.clone(), Some(note.hint.clone()));
    }
    for unknown in &run.planned.forecast.machine.unknown {
        events.note(None, format!("unknown: {unknown}"));
    }
}

fn recovered(report: &RecoveryReport, events: &EventSink) {
    for line in &report.lines {
        match line {
            RecoveryLine::Done(what) | RecoveryLine::Known(what) => {
                events.warn(None, format!("recovered from an earlier run: {what}"), None);
            }
            RecoveryLine::Failed { message, hint } => {
                let hint = hint
                    .clone()
                    .or_else(|| Some("isar-build-all recover".to_owned()));
                events.warn(
                    None,
                    format!("not recovered from an earlier run: {message}"),
                    hint,
                );
            }
        }
    }
}
