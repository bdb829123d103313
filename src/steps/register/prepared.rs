//! A prepared variant: its files are in the store, and its output entries and hashes wait to be changed.

use std::path::PathBuf;
use std::sync::Arc;

use crate::event::EventKind;
use crate::hashes_file::VariantHashes;
use crate::inputs::observer::StableInputs;
use crate::matrix::VariantKey;
use crate::state::records::Records;
use crate::steps::context::StepContext;
use crate::steps::gates::uniqueness;
use crate::steps::product_files::FinishedProduct;
use crate::steps::result::StepResult;
use crate::store::{Added, Captured, Hold};

/// A variant whose files are in the store and whose entries wait to be changed.
pub struct PreparedVariant {
    pub(super) cx: StepContext,
    /// The unique names of all artifacts.
    pub(super) names: Vec<String>,
    /// Where its output entries are.
    pub(super) output_dir: PathBuf,
    pub(super) artifacts: Vec<(Captured, Added)>,
    /// The products of the artifacts; put in place when they are registered.
    pub(super) products: Vec<FinishedProduct>,
    /// The inputs of the build, to record with the registration.
    pub(super) inputs: Option<StableInputs>,
    /// The events to emit once the variant is registered.
    pub(super) events: Vec<EventKind>,
    /// Holds the store's garbage collector back until the variant is registered.
    pub(super) hold: Arc<Hold>,
}

impl PreparedVariant {
    pub(super) fn key(&self) -> &VariantKey {
        &self.cx.variant.key
    }

    /// The new entries of the hashes file, and the names that have none any more.
    pub(super) fn hashes(&self) -> VariantHashes {
        let entries: Vec<(String, [u8; 32])> = self
            .artifacts
            .iter()
            .map(|(captured, _)| (captured.unique_name.clone(), captured.sha256))
            .collect();
        VariantHashes {
            key: self.key().clone(),
            gone: without(&self.names, &entries),
            names: self.names.clone(),
            entries,
        }
    }

    /// Runs the uniqueness gate against `text`, the new hashes file with all variants of the transaction.
    pub(super) fn check_uniqueness(
        &self,
        records: &Records,
        text: &str,
    ) -> Result<Vec<String>, StepResult> {
        let captured: Vec<Captured> = self.artifacts.iter().map(|(one, _)| one.clone()).collect();
        uniqueness::compare(&self.cx, records, &captured, text)
    }

    /// The output entry of an artifact.
    pub(super) fn link(&self, captured: &Captured) -> PathBuf {
        self.output_dir.join(&captured.unique_name)
    }
}

/// The names that have no entry.
pub(crate) fn without(names: &[String], entries: &[(String, [u8; 32])]) -> Vec<String> {
    let has = |name: &String| entries.iter().any(|(entry, _)| entry == name);
    names.iter().filter(|name| !has(name)).cloned().collect()
}
