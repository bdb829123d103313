//! Records what a registered variant was made of, so that it need not be built again while that stays so.
//! Knows nothing of how it is compared.

use std::fs;

use crate::model::matrix::Variant;
use crate::model::store_path::hex;
use crate::state::records::keys::{KeyArtifact, KeyRecord, Made};
use crate::state::records::{Records, RecordsError};
use crate::steps::MadeOf;
use crate::store::copy::Stamp;
use crate::store::{Added, Captured, Store};

/// Records a variant that is registered, all of it. Where a file cannot be looked at, nothing is recorded.
///
/// # Errors
/// Those of the records.
pub(super) fn remember(
    records: &Records,
    store: &Store,
    run: &str,
    variant: &Variant,
    artifacts: &[(Captured, Added)],
    made_of: &MadeOf,
) -> Result<(), RecordsError> {
    let mut known = Vec::with_capacity(variant.artifacts.len());
    for declared in &variant.artifacts {
        let registered = artifacts
            .iter()
            .find(|(captured, _)| captured.unique_name == declared.unique_name);
        let made = match registered {
            None => None,
            Some((captured, added)) => {
                // As the output entry names it.
                let Ok(store_path) = std::path::absolute(&added.store_path) else {
                    return Ok(());
                };
                let Ok(there) = fs::symlink_metadata(&store_path) else {
                    return Ok(());
                };
                Some(Made {
                    sha256: hex(&captured.sha256),
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
        key: made_of.key.clone(),
        unpinned: made_of.unpinned.clone(),
        artifacts: known,
        store: match store {
            Store::Nix(nix) => format!("nix {}", nix.state_dir.display()),
            Store::Local(_) => store.kind().to_owned(),
        },
        run: run.to_owned(),
        started: made_of.started,
    };
    records.record_key(&variant.key, &record, &made_of.lines)
}
