//! The end of a run that has nothing to do: one line, or the events of it where somebody asked for them.
//! No thread, no directory of a run, no process.

use std::io::{self, Write as _};
use std::path::Path;

use super::context::Context;
use super::failure::Failure;
use super::run::arguments;
use crate::model::event::{EVENT_VERSION, Event, EventKind};
use crate::model::outcome::{Outcome, RunOutcome};
use crate::model::plan::Plan;
use crate::model::skip::Skips;
use crate::report::jsonl::JsonLines;
use crate::report::{Clock, Reporter};
use crate::scheduler::planned;

/// Says that every variant is skipped, all of them in a store of this kind. Returns the exit code.
///
/// # Errors
/// When the events cannot be written.
pub(super) fn to_do(
    context: &Context,
    store: &str,
    plan: &Plan,
    skips: &Skips,
    run: &str,
    clock: &Clock,
) -> Result<u8, Failure> {
    let begin = clock();
    let path = context.cli.run.events.as_deref();
    if let Some(path) = path {
        let unwritable = |error: io::Error| {
            Failure::environment(format!("{} cannot be written: {error}", path.display()))
        };
        let mut reporter = JsonLines::create(path).map_err(unwritable)?;
        for (seq, kind) in (0..).zip(events(store, plan, skips)) {
            let event = Event {
                v: EVENT_VERSION,
                seq,
                time: if seq == 0 { begin } else { clock() },
                run: run.to_owned(),
                kind,
            };
            reporter.event(&event).map_err(unwritable)?;
        }
        reporter.finish().map_err(unwritable)?;
    }
    if path != Some(Path::new("-")) {
        let line = line(plan.variants.len());
        // A reader that has gone is no failure.
        let _ = io::stdout().write_all(line.as_bytes());
    }
    Ok(0)
}

fn line(count: usize) -> String {
    match count {
        1 => "The variant is unchanged: nothing to do.\n".to_owned(),
        count => format!("All {count} variants are unchanged: nothing to do.\n"),
    }
}

/// The events that a scheduler with nothing but skips would have emitted.
fn events(store: &str, plan: &Plan, skips: &Skips) -> Vec<EventKind> {
    let mut events = vec![
        EventKind::RunStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            args: arguments().split_off(1),
            store: store.to_owned(),
        },
        EventKind::Plan {
            nodes: planned(plan),
        },
    ];
    let mut said = None;
    for (ix, skip) in skips.nodes(plan) {
        let node = plan.node(ix);
        if said.replace(node.variant) != Some(node.variant) {
            events.push(EventKind::Skip {
                node: node.id.clone(),
                key: skip.key.clone(),
                why: skip.why.clone(),
            });
        }
        events.push(EventKind::NodeFinished {
            node: node.id.clone(),
            outcome: Outcome::Skipped,
            seconds: 0.0,
            why: Some(skip.why.clone()),
            hint: None,
        });
    }
    let outcome = RunOutcome::Succeeded;
    events.push(EventKind::RunFinished {
        outcome,
        exit: outcome.exit_code(),
        seconds: 0.0,
    });
    events
}
