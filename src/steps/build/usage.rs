//! Samples the resources that a build's container uses. Best effort: a build that cannot be measured is noted once, and
//! the next build's need is an assumption.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::host::meter::ContainerMeter;
use crate::host::usage::ResourceUsage;
use crate::steps::build::services::BuildTools;
use crate::steps::context::StepContext;
use crate::tools::{Engine, Runner};

/// The time between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// The number of questions to the engine for the container's first process.
const ATTEMPTS: u32 = 5;

/// The sampler of one build.
pub(super) struct UsageSampler {
    container_runs: Arc<Notify>,
    task: Option<JoinHandle<Option<ResourceUsage>>>,
    ended: Arc<Notify>,
}

impl UsageSampler {
    /// A sampler that waits for [`UsageSampler::container_runs`].
    pub(super) fn start(cx: &StepContext, tools: &BuildTools, container: &str) -> UsageSampler {
        let (container_runs, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let task = match &tools.runner {
            Runner::Container { engine, .. } => {
                let (cx, engine, container) = (cx.clone(), engine.clone(), container.to_owned());
                let root = tools.system_root.clone();
                let (runs, ended) = (Arc::clone(&container_runs), Arc::clone(&ended));
                Some(tokio::spawn(async move {
                    tokio::select! {
                        () = runs.notified() => {}
                        () = ended.notified() => return None,
                    }
                    sample(&cx, &root, (&engine, &container), &ended).await
                }))
            }
            // Without a container, the build shares this process's control group.
            Runner::Kas(_) => {
                cx.detail("the resources of this build cannot be measured: it has no container");
                None
            }
        };
        UsageSampler {
            container_runs,
            task,
            ended,
        }
    }

    /// The container runs: sampling starts.
    pub(super) fn container_runs(&self) {
        self.container_runs.notify_one();
    }

    /// The build has ended. Returns its usage, where it was measured.
    pub(super) async fn end(self) -> Option<ResourceUsage> {
        self.ended.notify_one();
        self.task?.await.ok().flatten()
    }
}

async fn sample(
    cx: &StepContext,
    root: &Path,
    (engine, container): (&Engine, &str),
    ended: &Notify,
) -> Option<ResourceUsage> {
    let begin = Instant::now();
    let mut meter = None;
    for _ in 0..ATTEMPTS {
        if let Some(first) = engine.first_process(container).await {
            meter = ContainerMeter::of(root, first.pid);
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(SAMPLE_EVERY) => {}
            () = ended.notified() => return None,
        }
    }
    let Some(mut meter) = meter else {
        cx.detail(
            "the resources of this build cannot be measured: its control group was not found",
        );
        return None;
    };
    while meter.sample(begin.elapsed().as_secs_f64()) {
        tokio::select! {
            () = tokio::time::sleep(SAMPLE_EVERY) => {}
            () = ended.notified() => break,
        }
    }
    meter.usage()
}
