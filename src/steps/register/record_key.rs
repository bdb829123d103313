//! Records the input key of a registered variant, so that the next run can skip it. Whether the inputs are proven, also
//! by kas's own dump, is decided elsewhere.

use std::fs;

use crate::base::hex;
use crate::fs::stamp::Stamp;
use crate::inputs::observer::StableInputs;
use crate::inputs::record::{KeyArtifact, KeyRecord, RegisteredFile};
use crate::state::records::RecordsError;
use crate::steps::register::prepared::PreparedVariant;
use crate::steps::register::registry::Registry;

/// Records the inputs of a variant whose artifacts are all registered. Where a registered file cannot be read, nothing
/// is recorded.
///
/// # Errors
/// Those of the records.
pub(super) fn record_key(
    registry: &Registry,
    prepared: &PreparedVariant,
    inputs: &StableInputs,
) -> Result<(), RecordsError> {
    let variant = &prepared.cx.variant;
    let mut known = Vec::with_capacity(variant.artifacts.len());
    for declared in &variant.artifacts {
        let registered = prepared
            .artifacts
            .iter()
            .find(|(captured, _)| captured.unique_name == declared.unique_name);
        let made = match registered {
            None => None,
            Some((captured, added)) => {
                // As the output entry has it.
                let Ok(store_path) = std::path::absolute(&added.store_path) else {
                    return Ok(());
                };
                let Ok(there) = fs::symlink_metadata(&store_path) else {
                    return Ok(());
                };
                Some(RegisteredFile {
                    sha256: hex::encode(&captured.sha256),
                    store_path,
                    stamp: Stamp::of(&there),
                })
            }
        };
        known.push(KeyArtifact {
            unique_name: declared.unique_name.clone(),
            made,
        });
    }
    let record = KeyRecord {
        key: inputs.key.clone(),
        unpinned: inputs.unpinned.clone(),
        artifacts: known,
        store: registry.store.record(),
        run: prepared.cx.run.clone(),
        started: inputs.started,
    };
    registry
        .records
        .record_key(&variant.key, &record, &inputs.lines)
}
