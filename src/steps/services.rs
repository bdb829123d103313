//! Step services: shared by the steps of a run, in parts by the step that needs them.

use crate::steps::build::services::BuildServices;
use crate::steps::capture::policy::CapturePolicy;
use crate::steps::register::registry::Registry;
use crate::store::products::Product;

/// The services that the steps of a run share.
pub struct StepServices {
    /// The store and the records, and how registrations are published.
    pub registry: Registry,
    /// The source of captures, and how many run at once.
    pub capture: CapturePolicy,
    /// The services of builds; absent in a run that builds nothing.
    pub build: Option<BuildServices>,
    /// The products that the compression step can make.
    pub products: Vec<&'static dyn Product>,
    /// The number of threads of a step that computes alone, such as a compression.
    pub threads: u32,
}
