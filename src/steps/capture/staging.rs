//! The staging directory of a variant: where its files are copied to before they are in the store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::remove;
use crate::state::journal::Entry;
use crate::steps::context::StepContext;
use crate::steps::errors::of_store;
use crate::steps::result::StepResult;
use crate::store::{CaptureWay, Captured, Hold, Store};

/// The staging directory: of this run, so that two runs cannot mix their captures; of this variant, so that the end of
/// another one does not remove it; and on the file system where the files end.
pub(in crate::steps) fn staging_dir(cx: &StepContext) -> PathBuf {
    let key = &cx.variant.key;
    match cx.services.registry.store.capture_way(&cx.run) {
        CaptureWay::Staged(Some(dir)) => dir.join(&key.machine).join(&key.id),
        CaptureWay::Staged(None) | CaptureWay::InPlace => cx
            .output_dir()
            .join(".captured")
            .join(&cx.run)
            .join(&key.id),
    }
}

/// Holds the garbage collector back where the staging directory is in the store itself: to the collector, the files in
/// it are garbage. Blocking.
pub(super) fn hold_staging(
    cx: &StepContext,
    store: &Store,
) -> Result<Option<Arc<Hold>>, StepResult> {
    match store.capture_way(&cx.run) {
        CaptureWay::Staged(Some(_)) => {
            let hold = store.hold_until(cx.killed()).map_err(of_store)?;
            Ok(Some(Arc::new(hold)))
        }
        CaptureWay::Staged(None) | CaptureWay::InPlace => Ok(None),
    }
}

/// The journal entry of a capture into a staging directory, written before the first byte is there.
pub(super) fn capturing_entry(cx: &StepContext, staging: &Path) -> Entry {
    Entry::Capturing {
        run: cx.run.clone(),
        variant: cx.variant.key.clone(),
        staging: staging.to_owned(),
    }
}

/// Removes captures that are registered or given up, and their staging directory. Blocking.
pub(in crate::steps) fn clear_staging(cx: &StepContext, staging: &Path, captured: &[Captured]) {
    for one in captured.iter().filter(|one| one.staged) {
        if let Err(error) = remove(&one.path) {
            cx.warn(error.to_string(), error.hint());
        }
    }
    // The variant's directory, then the two above it where nothing else is in them.
    for dir in staging.ancestors().take(3) {
        if fs::remove_dir(dir).is_err() {
            break;
        }
    }
}
