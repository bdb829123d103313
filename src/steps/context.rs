//! Step context: a step's variant, settings, events, journal and services. Does not know the order of steps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::event::EventSink;
use crate::exec::{StopLevel, StopSignal, blocking, blocking_within};
use crate::matrix::Variant;
use crate::plan::StepKind;
use crate::settings::{Settings, VariantDirs, variant_dirs};
use crate::state::journal::{Entry, Journal};
use crate::steps::build_share::BuildShare;
use crate::steps::result::StepResult;
use crate::steps::services::StepServices;

/// How long a kill waits for blocking work, which asks [`StepContext::killed`] between chunks and cleans up behind
/// itself. Work that a disk does not answer is left after that.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// The context of a running step. Cheap to clone, for tasks and blocking work.
#[derive(Clone)]
pub struct StepContext {
    /// The node's id, for events.
    pub node: String,
    /// The kind of the step.
    pub kind: StepKind,
    /// The run's id.
    pub run: String,
    /// The variant.
    pub variant: Arc<Variant>,
    /// The settings.
    pub settings: Arc<Settings>,
    /// The sink of the run's events.
    pub events: EventSink,
    /// The run's stop.
    pub stop: StopSignal,
    /// The step's share of the processor.
    pub share: BuildShare,
    /// The run's journal. Blocking; async code uses [`StepContext::intend`] and [`StepContext::note`].
    pub journal: Arc<Journal>,
    /// The services that the steps of the run share.
    pub services: Arc<StepServices>,
}

impl StepContext {
    /// The directories of the variant.
    #[must_use]
    pub fn dirs(&self) -> VariantDirs {
        let key = &self.variant.key;
        variant_dirs(&self.settings, &key.machine, &key.id, self.variant.arch)
    }

    /// The directory of the variant's output entries.
    #[must_use]
    pub fn output_dir(&self) -> PathBuf {
        self.dirs().output
    }

    /// Whether the run is to be stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow() > StopLevel::Run
    }

    /// Whether the run is to be killed; for blocking work, which asks between chunks.
    pub fn killed(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let stop = self.stop.clone();
        move || *stop.borrow() == StopLevel::Kill
    }

    /// Warns about this node.
    pub fn warn(&self, message: impl Into<String>, hint: Option<String>) {
        self.events.warn(Some(&self.node), message, hint);
    }

    /// Emits a note about this node, which is shown with `--verbose`.
    pub fn detail(&self, message: impl Into<String>) {
        self.events.note(Some(&self.node), message);
    }

    /// Runs blocking work on the blocking pool and waits for it, through a graceful stop too. A kill leaves it after
    /// a few seconds.
    ///
    /// # Errors
    /// The step's result where the work panicked or was left.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StepResult> {
        Ok(blocking_within(&self.stop, StopLevel::Kill, KILL_GRACE, work).await?)
    }

    /// The same for work that prepares the step: the first stop leaves it at once. Its effects must be harmless.
    ///
    /// # Errors
    /// The step's result where the work panicked or was left.
    pub async fn preparing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StepResult> {
        Ok(blocking(&self.stop, StopLevel::Graceful, work).await?)
    }

    /// Writes to the journal what is about to be done; it is on the disk on return.
    ///
    /// # Errors
    /// The step's result: without the entry, the step must not go on.
    pub async fn intend(&self, entry: Entry) -> Result<(), StepResult> {
        let cx = self.clone();
        self.blocking(move || cx.intend_blocking(&entry)).await?
    }

    /// [`StepContext::intend`] for blocking code.
    ///
    /// # Errors
    /// The same.
    pub fn intend_blocking(&self, entry: &Entry) -> Result<(), StepResult> {
        self.journal
            .intend(entry)
            .map_err(|error| StepResult::error(&error, error.hint()))
    }

    /// Announces in the journal what the step's [`recover`](crate::steps::step::Step::recover) can finish or undo;
    /// `payload` is its data. The entry is on the disk on return, and stays until [`StepContext::settle`].
    ///
    /// # Errors
    /// The step's result: without the entry, the step must not go on.
    pub async fn announce(&self, payload: serde_json::Value) -> Result<(), StepResult> {
        self.intend(Entry::StepStarted {
            run: self.run.clone(),
            variant: self.variant.key.clone(),
            step: self.kind.to_string(),
            payload,
        })
        .await
    }

    /// Ends what the step announced: nothing of it is left to recover.
    pub async fn settle(&self) {
        self.note(Entry::StepEnded {
            run: self.run.clone(),
            variant: self.variant.key.clone(),
            step: self.kind.to_string(),
        })
        .await;
    }

    /// Writes to the journal what is done. A failure is a warning: the next start then looks at it again, which is
    /// harmless.
    pub async fn note(&self, entry: Entry) {
        let cx = self.clone();
        // A kill that leaves the call has the same effect as a failure.
        let _ = self.blocking(move || cx.note_blocking(&entry)).await;
    }

    /// [`StepContext::note`] for blocking code.
    pub fn note_blocking(&self, entry: &Entry) {
        if let Err(error) = self.journal.note(entry) {
            self.warn(error.to_string(), error.hint());
        }
    }
}
