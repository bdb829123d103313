//! The guard of a build that may have none.

use tokio::sync::mpsc::UnboundedReceiver;

use super::{Cue, SyncWatch};
use crate::steps::StepResult;

/// As the methods of [`SyncWatch`], for a build that may have none.
pub(in crate::steps::build) struct MaybeWatch(pub(in crate::steps::build) Option<SyncWatch>);

impl MaybeWatch {
    pub(in crate::steps::build) async fn before(&mut self) -> Result<(), StepResult> {
        match &mut self.0 {
            Some(watch) => watch.before().await,
            None => Ok(()),
        }
    }

    pub(in crate::steps::build) fn after(&self) -> Vec<String> {
        self.0.as_ref().map(SyncWatch::after).unwrap_or_default()
    }

    pub(in crate::steps::build) async fn follow(&mut self, heard: UnboundedReceiver<Cue>) {
        if let Some(watch) = &mut self.0 {
            watch.follow(heard).await;
        }
    }

    /// The watcher has taken the build over.
    pub(in crate::steps::build) fn watched(&mut self) {
        if let Some(watch) = &mut self.0 {
            watch.is_watched = true;
        }
    }

    pub(in crate::steps::build) async fn end(&mut self) {
        if let Some(watch) = &mut self.0 {
            // Its end was seen, and the watcher is about to forget it.
            watch.is_watched = false;
            watch.give_back().await;
        }
    }

    pub(in crate::steps::build) fn verdict(&mut self, result: StepResult) -> StepResult {
        match &mut self.0 {
            Some(watch) => watch.verdict(result),
            None => result,
        }
    }
}
