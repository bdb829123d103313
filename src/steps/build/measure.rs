//! Looks at what the container of a build takes while it runs. A build never fails of it: what cannot be
//! measured is said once, quietly, and the next build is estimated.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::machine::meter::Meter;
use crate::model::need::Took;
use crate::steps::StepContext;
use crate::tools::{Engine, Runner};

use super::BuildTools;
use super::inspect::first_process;

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// How often the engine is asked for the container.
const ATTEMPTS: u32 = 5;

/// What is measured of a running build.
pub(super) struct Measuring {
    runs: Arc<Notify>,
    task: Option<JoinHandle<Option<Took>>>,
    end: Arc<Notify>,
}

impl Measuring {
    /// Begins when the build is said to run.
    pub(super) fn begin(ctx: &StepContext, tools: &BuildTools, name: &str) -> Measuring {
        let (runs, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let task = match &tools.runner {
            Runner::Container { engine, .. } => {
                let (ctx, engine, name) = (ctx.clone(), engine.clone(), name.to_owned());
                let root = tools.system_root.clone();
                let (runs, end) = (Arc::clone(&runs), Arc::clone(&end));
                Some(tokio::spawn(async move {
                    tokio::select! {
                        () = runs.notified() => {}
                        () = end.notified() => return None,
                    }
                    follow(&ctx, &root, &engine, &name, &end).await
                }))
            }
            // Without a container of its own it stands in our control group, with everything else.
            Runner::Kas(_) => {
                ctx.events.note(
                    Some(&ctx.node),
                    "what this build takes of the machine cannot be measured: it has no container",
                );
                None
            }
        };
        Measuring { runs, task, end }
    }

    /// The container is there.
    pub(super) fn runs(&self) {
        self.runs.notify_one();
    }

    /// The build has ended: what it took, where that was measured.
    pub(super) async fn end(self) -> Option<Took> {
        self.end.notify_one();
        self.task?.await.ok().flatten()
    }
}

async fn follow(
    ctx: &StepContext,
    root: &Path,
    engine: &Engine,
    name: &str,
    end: &Notify,
) -> Option<Took> {
    let begin = Instant::now();
    let mut meter = None;
    for _ in 0..ATTEMPTS {
        if let Some(first) = first_process(engine, name).await {
            meter = Meter::of(root, first.pid);
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = end.notified() => return None,
        }
    }
    let Some(mut meter) = meter else {
        ctx.events.note(
            Some(&ctx.node),
            "what this build takes of the machine cannot be measured: its control group was not found",
        );
        return None;
    };
    while meter.look(begin.elapsed().as_secs_f64()) {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = end.notified() => break,
        }
    }
    meter.took()
}
