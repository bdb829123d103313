//! Connects the image guard to a build: its context, its journal entries, and its failures as step results.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::state::journal::Entry;
use crate::steps::build::command::KasTask;
use crate::steps::build::services::BuildTools;
use crate::steps::context::StepContext;
use crate::steps::result::StepResult;
use crate::wsl::WindowsDrive;
use crate::wsl::image_guard::{GuardContext, GuardFailure, ImageCue, ImageGuard, UnmountJournal};

/// The image guard of a build that may have none.
pub(super) struct BuildSyncGuard(Option<ImageGuard>);

impl BuildSyncGuard {
    /// The guard of the build `name`. Only a build makes an image and needs one.
    pub(super) fn new(
        cx: &StepContext,
        tools: &BuildTools,
        task: KasTask,
        name: &str,
    ) -> BuildSyncGuard {
        let setup = tools.guarding.as_ref().filter(|_| task == KasTask::Build);
        BuildSyncGuard(setup.map(|setup| {
            let context = GuardContext {
                events: cx.events.clone(),
                node: cx.node.clone(),
                stop: cx.stop.clone(),
                journal: Arc::new(StepJournal(cx.clone())),
                system_root: tools.system_root.clone(),
            };
            ImageGuard::new(context, setup, tools.runner.engine(), name)
        }))
    }

    /// The command that mounts drives again after a death; empty without a guard.
    pub(super) fn undo_command(&self) -> Vec<String> {
        let command = self.0.as_ref().map(ImageGuard::undo_command);
        command.unwrap_or_default()
    }

    /// The watcher undoes the build if its end is not seen.
    pub(super) fn watched(&mut self) {
        if let Some(guard) = &mut self.0 {
            guard.watched();
        }
    }

    /// Prepares the drives for the build.
    ///
    /// # Errors
    /// The step's result: the build must not start.
    pub(super) async fn before_build(&mut self) -> Result<(), StepResult> {
        match &mut self.0 {
            Some(guard) => guard.before_build().await.map_err(result),
            None => Ok(()),
        }
    }

    /// Acts on cues until the output of the build has ended.
    pub(super) async fn follow(&mut self, cues: UnboundedReceiver<ImageCue>) {
        if let Some(guard) = &mut self.0 {
            guard.follow(cues).await;
        }
    }

    /// The result of a build that the guard ended; absent where it did not.
    pub(super) fn failure(&mut self) -> Option<StepResult> {
        self.0.as_mut()?.take_failure().map(result)
    }

    /// Mounts the drives again, once nothing of the build is left that could reach one.
    pub(super) async fn end(&mut self) {
        if let Some(guard) = &mut self.0 {
            guard.end().await;
        }
    }
}

fn result(failure: GuardFailure) -> StepResult {
    match failure {
        GuardFailure::Stopped => StepResult::cancelled(),
        GuardFailure::Failed { why, hint } => StepResult::failed(why).hint_if(hint),
    }
}

/// Records unmounts in the journal of the run. Blocking.
struct StepJournal(StepContext);

impl UnmountJournal for StepJournal {
    fn unmounting(&self, build: &str, boot: &str, drives: &[WindowsDrive]) -> Result<(), String> {
        let entry = Entry::DrivesAway {
            run: self.0.run.clone(),
            build: build.to_owned(),
            boot: boot.to_owned(),
            drives: drives.to_vec(),
        };
        let intended = self.0.journal.intend(&entry);
        intended.map_err(|error| error.to_string())
    }

    fn remounted(&self, build: &str) {
        self.0.note_blocking(&Entry::DrivesBack {
            run: self.0.run.clone(),
            build: build.to_owned(),
        });
    }
}
