//! The parts of which a run is assembled: steps, products, stores and reporters.
//!
//! The tool passes [`Parts::standard`]; a test adds a part of its own to the list.

use crate::plan::StepInfo;
use crate::report::{REPORTERS, ReporterEntry};
use crate::steps::STEPS;
use crate::steps::step::Step;
use crate::store::products::{PRODUCTS, Product};
use crate::store::{BACKENDS, Backend};

/// The parts of a run, each list in the order in which its entries count.
#[derive(Clone)]
pub struct Parts {
    /// The steps, in the order in which they run for a variant.
    pub steps: Vec<&'static dyn Step>,
    /// The products that can be made of artifacts.
    pub products: Vec<&'static dyn Product>,
    /// The stores, in the order in which `auto` tries them.
    pub backends: Vec<&'static dyn Backend>,
    /// The reporters to choose from.
    pub reporters: Vec<ReporterEntry>,
}

impl Parts {
    /// The parts of the tool as it is installed.
    #[must_use]
    pub fn standard() -> Parts {
        Parts {
            steps: STEPS.to_vec(),
            products: PRODUCTS.to_vec(),
            backends: BACKENDS.to_vec(),
            reporters: REPORTERS.to_vec(),
        }
    }

    /// The steps' information for plans.
    #[must_use]
    pub fn step_infos(&self) -> Vec<&'static StepInfo> {
        self.steps.iter().map(|step| step.info()).collect()
    }
}
