//! The data ranges of captured files of which products are made. Blocking.
//!
//! Holes are looked up at the capture, because the next build may overwrite the file afterwards.

use crate::steps::context::StepContext;
use crate::steps::errors::of_copy;
use crate::steps::result::StepResult;
use crate::steps::variant_state::DataRanges;
use crate::store::Captured;
use crate::store::copy;
use crate::store::products::BLOCK;

/// The data ranges of every file of which the variant declares products.
pub(super) fn look_up(cx: &StepContext, captured: &[Captured]) -> Result<DataRanges, StepResult> {
    let mut data = DataRanges::new();
    for artifact in &cx.variant.artifacts {
        if artifact.products.is_empty() {
            continue;
        }
        let name = &artifact.unique_name;
        if let Some(one) = captured.iter().find(|one| one.unique_name == *name) {
            // A staged copy has another stamp than its source.
            let known = (!one.staged).then_some(&one.source);
            let ranges = copy::data_of(&one.path, known, BLOCK).map_err(|error| of_copy(&error))?;
            data.insert(name.clone(), ranges);
        }
    }
    Ok(data)
}
