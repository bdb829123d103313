//! A capture at work: its inputs, the files that it takes, and how it reads several at once.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::event::ArtifactOrigin;
use crate::fs::stamp::Stamp;
use crate::matrix::Artifact;
use crate::steps::capture::policy::Provenance;
use crate::steps::context::StepContext;
use crate::steps::deploy_snapshot::DeploySnapshot;
use crate::steps::result::StepResult;
use crate::store::{Captured, Store};

/// The inputs of a capture.
#[derive(Clone)]
pub(super) struct CaptureJob {
    pub(super) cx: StepContext,
    /// The build directory to capture from.
    pub(super) build_dir: PathBuf,
    pub(super) provenance: Provenance,
    pub(super) store: Arc<Store>,
    /// The deployed files before the build.
    pub(super) snapshot: Option<Arc<DeploySnapshot>>,
}

/// A deployed file to capture.
#[derive(Debug, Clone)]
pub(super) struct SourceFile {
    pub(super) artifact: Artifact,
    pub(super) path: PathBuf,
    /// The stamp with which it was found.
    pub(super) stamp: Stamp,
}

/// A captured file, and how it was captured.
pub(super) type TakenFile = (Captured, ArtifactOrigin);

/// Does blocking work for each source, as many at once as the run has slots. Returns what succeeded in the order of the
/// sources, and the first failure in that order.
pub(super) async fn for_each_source<T: Send + 'static>(
    cx: &StepContext,
    sources: Vec<SourceFile>,
    work: impl Fn(SourceFile) -> Result<T, StepResult> + Clone + Send + 'static,
) -> (Vec<T>, Result<(), StepResult>) {
    let mut tasks = JoinSet::new();
    for (index, source) in sources.into_iter().enumerate() {
        let (work, cx) = (work.clone(), cx.clone());
        tasks.spawn(async move {
            let _slot = cx.services.capture.slots.clone().take().await;
            (index, cx.blocking(move || work(source)).await.flatten())
        });
    }
    let mut done = Vec::new();
    let mut failures = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((index, Ok(result))) => done.push((index, result)),
            Ok((index, Err(failure))) => failures.push((index, failure)),
            Err(error) => {
                let failure = StepResult::failed(format!("internal fault: {error}"));
                failures.push((usize::MAX, failure));
            }
        }
    }
    done.sort_by_key(|(index, _)| *index);
    failures.sort_by_key(|(index, _)| *index);
    let done = done.into_iter().map(|(_, result)| result).collect();
    let failed = match failures.into_iter().next() {
        Some((_, failure)) => Err(failure),
        None => Ok(()),
    };
    (done, failed)
}
