//! The trait of a step. To add a step is to add a file with a type that implements [`Step`], and a line in
//! [`STEPS`](crate::steps::STEPS).

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use crate::base::failure::Failure;
use crate::matrix::VariantKey;
use crate::plan::StepInfo;
use crate::settings::Settings;
use crate::steps::context::StepContext;
use crate::steps::result::StepResult;
use crate::steps::variant_state::VariantState;

/// The future of a running step.
pub type StepFuture<'a> = Pin<Box<dyn Future<Output = StepResult> + Send + 'a>>;

/// A step of a variant.
pub trait Step: Send + Sync {
    /// The step's entry in plans.
    fn info(&self) -> &'static StepInfo;

    /// Does the step's work for one variant. The future must end soon after `cx.stop` asks for it, and must not
    /// block its thread (see [`StepContext::blocking`]). A panic fails the step and drops `state`.
    fn run<'a>(&'a self, cx: &'a StepContext, state: &'a mut VariantState) -> StepFuture<'a>;

    /// The file with the step's whole output, where it keeps one.
    fn log(&self, settings: &Settings, run: &str, variant: &VariantKey) -> Option<PathBuf> {
        let _ = (settings, run, variant);
        None
    }

    /// Undoes what a run left that died in the middle of the step, from what the step wrote to the journal before.
    /// Blocking. Returns a line about what was done, if anything was; in a dry run, about what would be done.
    ///
    /// # Errors
    /// The part that cannot be undone now; the journal keeps the entry for the next start.
    fn recover(&self, left: &InterruptedStep<'_>) -> Result<Option<String>, Failure> {
        let _ = left;
        Ok(None)
    }
}

/// A step that was running when its run died.
#[derive(Debug, Clone, Copy)]
pub struct InterruptedStep<'a> {
    /// The id of the run that died.
    pub run: &'a str,
    /// The variant.
    pub variant: &'a VariantKey,
    /// The payload of the step's journal entry.
    pub payload: &'a serde_json::Value,
    /// The present settings.
    pub settings: &'a Settings,
    /// Whether to change nothing and only report.
    pub dry_run: bool,
}
