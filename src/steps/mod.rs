//! Steps: what a run does for each variant, one file or folder a step, behind one trait.
//!
//! To add a step is to add a file here and a line in [`STEPS`]. How steps are scheduled and drawn is elsewhere.

mod artifact_event;
pub mod build;
pub mod build_share;
pub mod capture;
pub mod compress;
pub mod context;
pub mod deploy_dir;
pub mod deploy_snapshot;
mod errors;
pub mod freshness;
mod gates;
pub(crate) mod git_locks;
pub(crate) mod product_files;
pub mod register;
pub mod result;
pub mod services;
pub mod step;
pub mod variant_state;

use crate::plan::StepInfo;
use crate::steps::step::Step;

/// The standard steps, in the order of a variant.
pub static STEPS: &[&dyn Step] = &[
    &build::Build,
    &capture::CaptureDeployed,
    &capture::from_output::CaptureOutput,
    &compress::Compress,
    &register::Register,
];

/// The entries of the standard steps in plans.
#[must_use]
pub fn infos() -> Vec<&'static StepInfo> {
    STEPS.iter().map(|step| step.info()).collect()
}
