//! Variant state: what the steps of one variant hand on to each other.
//!
//! The executor gives the state to a step when it starts and takes it back when the step ends. The steps of a
//! variant run one after the other, so no lock is needed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::inputs::observer::StableInputs;
use crate::steps::deploy_snapshot::DeploySnapshot;
use crate::steps::product_files::FinishedProduct;
use crate::store::{Captured, Hold};

/// The state of a variant between two steps.
#[derive(Debug, Default)]
pub struct VariantState {
    /// From the build: the files that lay in the deploy directory before it. Absent where nothing was built.
    pub deploy_snapshot: Option<DeploySnapshot>,
    /// From the build: its inputs, where they were the same before and after it.
    pub inputs: Option<StableInputs>,
    /// From the capture.
    pub captures: Captures,
}

/// The captured files of a variant.
#[derive(Debug, Default)]
pub struct Captures {
    /// The files, in the order of the artifacts.
    pub files: Vec<Captured>,
    /// Holds the store's garbage collector back where the files are in the store already.
    pub hold: Option<Arc<Hold>>,
    /// For each file of which products are made, by unique name: the ranges that hold data.
    pub data: DataRanges,
    /// From the compression: what was made of the files.
    pub products: Vec<FinishedProduct>,
}

/// The ranges of files that are not holes, in bytes, by unique name.
pub type DataRanges = BTreeMap<String, Vec<Range<u64>>>;
