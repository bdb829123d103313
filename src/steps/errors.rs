//! Step results for errors of the store and of copying.

use crate::steps::result::StepResult;
use crate::store::StoreError;
use crate::store::copy::CopyError;

/// The result of a step whose copy failed.
pub(super) fn of_copy(error: &CopyError) -> StepResult {
    match error {
        CopyError::Stopped(_) => StepResult::cancelled(),
        _ => StepResult::error(error, error.hint()),
    }
}

/// The result of a step whose store failed.
pub(super) fn of_store(error: StoreError) -> StepResult {
    match error {
        StoreError::Copy(error) => of_copy(&error),
        error => StepResult::error(&error, error.hint()),
    }
}
