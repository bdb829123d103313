//! A run with nothing to do: prints one line, and writes the events of the run where `--events` names a file.
//!
//! Starts no thread and no process, and leaves no run directory.

use std::io::{self, Write as _};
use std::path::Path;

use crate::base::failure::Failure;
use crate::event::outcome::{Outcome, RunOutcome};
use crate::event::{EVENT_VERSION, Event, EventKind, Reporter};
use crate::plan::skip::Skips;
use crate::report::jsonl::JsonLines;
use crate::run::lock::RunLock;
use crate::run::planned::PlannedRun;
use crate::run::scheduler::planned;

/// A run whose variants are all unchanged.
pub(super) struct NoOp<'a> {
    pub(super) planned: PlannedRun<'a>,
    /// The kind of the store that holds the artifacts.
    pub(super) store: String,
    pub(super) skips: Skips,
    /// Held until the events are written.
    pub(super) _lock: RunLock,
}

impl NoOp<'_> {
    /// Reports that every variant is skipped.
    ///
    /// # Errors
    /// When the events cannot be written.
    pub(super) fn report(&self) -> Result<(), Failure> {
        let path = self.planned.context.arguments.run.events.as_deref();
        if let Some(path) = path {
            self.write_events(path).map_err(|error| {
                Failure::environment(format!("{} cannot be written: {error}", path.display()))
            })?;
        }
        if path != Some(Path::new("-")) {
            let line = line(self.planned.plan.variants.len());
            // A reader that has gone is no failure.
            let _ = io::stdout().write_all(line.as_bytes());
        }
        Ok(())
    }

    fn write_events(&self, path: &Path) -> io::Result<()> {
        let identity = &self.planned.identity;
        let mut reporter = JsonLines::create(path)?;
        for (seq, kind) in (0..).zip(self.events()) {
            reporter.event(&Event {
                v: EVENT_VERSION,
                seq,
                time: identity.now(),
                run: identity.id.clone(),
                kind,
            })?;
        }
        reporter.finish()
    }

    /// The events that a scheduler with nothing but skips would have emitted.
    fn events(&self) -> Vec<EventKind> {
        let plan = &self.planned.plan;
        let mut events = vec![
            EventKind::RunStarted {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                args: self.planned.context.words.clone(),
                store: self.store.clone(),
            },
            EventKind::Plan {
                nodes: planned(plan),
            },
        ];
        let mut announced = None;
        for (ix, skip) in self.skips.nodes(plan) {
            let node = plan.node(ix);
            let id = plan.id_of(node).to_string();
            if announced.replace(node.variant) != Some(node.variant) {
                events.push(EventKind::Skip {
                    node: id.clone(),
                    key: skip.key.clone(),
                    why: skip.why.clone(),
                });
            }
            events.push(EventKind::NodeFinished {
                node: id,
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
}

fn line(count: usize) -> String {
    match count {
        1 => "The variant is unchanged: nothing to do.\n".to_owned(),
        count => format!("All {count} variants are unchanged: nothing to do.\n"),
    }
}
