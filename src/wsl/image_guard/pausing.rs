//! Pauses the container of a build, and resumes it.
//!
//! Whether the container is paused is read from the kernel and not asked of the engine. An engine
//! gives up a pause when something in the container is inside a system call, but the freeze request
//! stays in the control group: the kernel freezes the container after the call, while the engine
//! believes that it runs and refuses to unpause it. So a pause that failed is undone in the control
//! group. A container whose control group is not found is never paused.

use std::time::{Duration, Instant};

use crate::exec::{StopLevel, quiet};
use crate::host::freezer::{Freezer, FreezerFile};
use crate::wsl::image_guard::{
    ENGINE_LIMIT, GuardFailure, ImageGuard, TRIES, last_line, off_thread,
};

/// Time in which a paused container must resume.
const RESUME_LIMIT: Duration = Duration::from_secs(60);

/// The same after a failed pause, which nothing else waits for.
const SHORT_RESUME_LIMIT: Duration = Duration::from_secs(5);

/// The result of a pause.
pub(super) enum PauseResult {
    /// The container is paused.
    Paused,
    /// The container runs, for this reason.
    Runs(String),
    /// The build was given up.
    GivenUp,
}

impl ImageGuard {
    /// Resumes a container that was frozen late, or by an engine that did not answer in time.
    pub(super) async fn thaw(&mut self) {
        if !self.frozen().is_empty() {
            self.resume_within(RESUME_LIMIT).await;
        }
    }

    /// Pauses the container. If the engine fails or does not answer in time, the container may be
    /// frozen anyway, now or later, and is resumed at once: a frozen container would never end.
    pub(super) async fn pause(&mut self) -> PauseResult {
        if !self.finds_freezer().await {
            return PauseResult::Runs("its control group was not found".to_owned());
        }
        let (code, why) = self.engine_call("pause").await;
        if code == Some(0) {
            return PauseResult::Paused;
        }
        self.may_freeze = true;
        match self.resume_within(SHORT_RESUME_LIMIT).await {
            true => PauseResult::Runs(why),
            false => PauseResult::GivenUp,
        }
    }

    pub(super) async fn resume(&mut self) {
        self.resume_within(RESUME_LIMIT).await;
    }

    /// Resumes the container, or gives the build up and returns false. The control group is thawed
    /// only once the engine says that the container runs: podman can neither stop nor remove a
    /// container that it believes paused and that runs.
    async fn resume_within(&mut self, limit: Duration) -> bool {
        let begin = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            let (code, mut reply) = self.engine_call("unpause").await;
            let says_running = self
                .engine
                .as_ref()
                .is_some_and(|engine| engine.says_running(code, &reply));
            if says_running && let Err(why) = self.thaw_files(self.frozen()).await {
                reply = why;
            }
            if self.frozen().is_empty() || self.has_ended().await {
                return true;
            }
            // Once the run is to stop, the container is being killed anyway.
            let stopped = self.is_stopped();
            if begin.elapsed() >= limit || (stopped && tries >= TRIES) {
                let failure = GuardFailure::failed(format!(
                    "the container was paused and cannot be resumed: {}",
                    last_line(&reply)
                ));
                self.give_up((!stopped).then_some(failure)).await;
                return false;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Whether the container's freezer is known. It is looked up while the container runs, because
    /// the engine may not answer later.
    async fn finds_freezer(&mut self) -> bool {
        if self.freezer.is_none()
            && let Some(engine) = &self.engine
            && let Some(first) = engine.first_process(&self.name).await
        {
            self.freezer = Freezer::of(&self.context.system_root, first.pid, &first.id);
        }
        self.freezer.is_some()
    }

    fn frozen(&self) -> Vec<FreezerFile> {
        self.freezer
            .as_ref()
            .map(Freezer::frozen)
            .unwrap_or_default()
    }

    async fn thaw_files(&self, files: Vec<FreezerFile>) -> Result<(), String> {
        if files.is_empty() {
            return Ok(());
        }
        let keeper = self.setup.keeper.clone().map_err(|(why, _)| why)?;
        off_thread(move || {
            let mut files = files.iter();
            files.try_for_each(|file| keeper.host().write_as_root(&file.path, file.thawed))
        })
        .await?
    }

    async fn engine_call(&self, word: &str) -> (Option<i32>, String) {
        quiet(&self.engine_command(&[word, &self.name]), ENGINE_LIMIT).await
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.context.stop.borrow() > StopLevel::Run
    }
}
