//! Pauses the container of a build and lets it go on.
//!
//! Whether it stands still is asked of the kernel, not of the engine. A pause that the engine gave up, because
//! something in the container is in a system call, stays in its control group: the kernel pauses it once that
//! call is done, the engine says that it is not paused, and therefore refuses to let it go on. So what the
//! engine leaves is undone there. A container whose control group is not found is never paused.

use std::time::{Duration, Instant};

use super::answers::goes_on;
use super::{ENGINE_LIMIT, SyncWatch, TRIES, last_line};
use crate::exec::{StopLevel, quiet};
use crate::machine::freezer::{Freezer, Switch};
use crate::steps::StepResult;
use crate::steps::build::inspect::first_process;
use crate::steps::capture::blocking;

/// How long it is tried to let a container go on.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same where it could not be paused, and nobody else is the reason to wait.
const SHORT_PATIENCE: Duration = Duration::from_secs(5);

/// What came of asking for a pause.
pub(super) enum Paused {
    /// The container is paused.
    Yes,
    /// It goes on, and this is why.
    No(String),
    /// It was given up.
    GivenUp,
}

impl SyncWatch {
    /// Lets a container go on that was paused late, or by an engine that has not answered in time.
    pub(super) async fn thaw(&mut self) {
        if !self.frozen().is_empty() {
            self.go_on(PATIENCE).await;
        }
    }

    /// Pauses the container. An engine that did not answer well, or not in time, may have paused it all the
    /// same, or the kernel may do so yet: it is let go on at once. One that stays paused would never end.
    pub(super) async fn pause(&mut self) -> Paused {
        if !self.finds_freezer().await {
            return Paused::No("its control group was not found".to_owned());
        }
        let (code, why) = self.engine_call("pause").await;
        if code == Some(0) {
            return Paused::Yes;
        }
        self.may_freeze = true;
        match self.go_on(SHORT_PATIENCE).await {
            true => Paused::No(why),
            false => Paused::GivenUp,
        }
    }

    pub(super) async fn unpause(&mut self) {
        self.go_on(PATIENCE).await;
    }

    /// Has the container go on; where it does not, it is given up. The kernel is told only what the engine does
    /// not know: podman can neither stop nor remove a container that it believes paused and that goes on.
    async fn go_on(&mut self, patience: Duration) -> bool {
        let begin = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            let (code, mut said) = self.engine_call("unpause").await;
            if goes_on(code, &said)
                && let Err(why) = self.tell_kernel(self.frozen()).await
            {
                said = why;
            }
            if self.frozen().is_empty() || self.has_ended().await {
                return true;
            }
            // Where the run is to stop it was killed meanwhile, or will be.
            let stopped = *self.ctx.stop.borrow() > StopLevel::Run;
            if begin.elapsed() >= patience || (stopped && tries >= TRIES) {
                self.give_up_frozen(&said, stopped).await;
                return false;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn give_up_frozen(&mut self, said: &str, stopped: bool) {
        let failed = (!stopped).then(|| {
            StepResult::failed(format!(
                "the container was paused and cannot go on: {}",
                last_line(said)
            ))
        });
        self.give_up(failed).await;
    }

    /// Whether the container's freezer is known. It is looked for once the container runs, and kept: later the
    /// engine may not answer.
    async fn finds_freezer(&mut self) -> bool {
        if self.freezer.is_none()
            && let Some(engine) = &self.engine
            && let Some(first) = first_process(engine, &self.name).await
        {
            self.freezer = Freezer::of(&self.root, first.pid, &first.id);
        }
        self.freezer.is_some()
    }

    fn frozen(&self) -> Vec<Switch> {
        self.freezer
            .as_ref()
            .map(Freezer::frozen)
            .unwrap_or_default()
    }

    async fn tell_kernel(&self, switches: Vec<Switch>) -> Result<(), String> {
        if switches.is_empty() {
            return Ok(());
        }
        let keeper = self.guarding.keeper.clone().map_err(|(why, _)| why)?;
        let told = blocking(move || {
            let mut switches = switches.iter();
            switches.try_for_each(|switch| keeper.machine().tell(&switch.file, switch.thawed))
        });
        told.await
            .unwrap_or_else(|result| Err(result.why.unwrap_or_default()))
    }

    async fn engine_call(&self, word: &str) -> (Option<i32>, String) {
        quiet(&self.engine_words(&[word, &self.name]), ENGINE_LIMIT).await
    }
}
