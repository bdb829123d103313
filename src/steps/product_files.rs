//! Product files: products that are complete and wait for the registration of their artifact, and the removal of those
//! that are no longer declared.

use std::io;
use std::path::Path;

use crate::base::{hex, nix32};
use crate::event::{ArtifactOrigin, EventKind};
use crate::fs::stamp::Stamp;
use crate::fs::{PartFile, PathError, remove};
use crate::inputs::record::ProductRecord;
use crate::matrix::{Artifact, VariantKey};
use crate::state::records::{Records, RecordsError};
use crate::steps::context::StepContext;
use crate::store::copy::Stop;
use crate::store::hashing::Want;
use crate::store::product::DeclaredProduct;
use crate::store::{Captured, copy};

/// A product that waits for the registration of its artifact.
#[derive(Debug)]
pub struct FinishedProduct {
    /// The artifact's type.
    kind: String,
    /// The record to write. Its stamp is set when the file is in its place.
    record: ProductRecord,
    sha256: [u8; 32],
    /// The new file; absent where the present one is kept.
    part: Option<PartFile>,
}

impl FinishedProduct {
    /// A new product of an artifact of type `kind`.
    pub(super) fn made(
        kind: &str,
        record: ProductRecord,
        sha256: [u8; 32],
        part: PartFile,
    ) -> FinishedProduct {
        FinishedProduct {
            kind: kind.to_owned(),
            record,
            sha256,
            part: Some(part),
        }
    }

    /// Puts the product in its place in `dir`. Returns the record to write and the event to emit. Blocking.
    ///
    /// # Errors
    /// The system's answer; the former file is then unchanged.
    pub(super) fn put(
        self,
        cx: &StepContext,
        dir: &Path,
    ) -> Result<(ProductRecord, EventKind), PathError> {
        let path = dir.join(&self.record.unique_name);
        let (how, there) = match self.part {
            Some(part) => {
                part.commit(None)?;
                let there = path.symlink_metadata().map(|there| Stamp::of(&there));
                (
                    ArtifactOrigin::Made,
                    there.map_err(PathError::on("read", &path))?,
                )
            }
            None => {
                let there = stamp(&path).filter(|there| self.record.stamp.is_of(there));
                let changed = || io::Error::other("it changed after it was checked");
                let there = there.ok_or_else(changed);
                (
                    ArtifactOrigin::Kept,
                    there.map_err(PathError::on("keep", &path))?,
                )
            }
        };
        let record = ProductRecord {
            stamp: there,
            ..self.record
        };
        let event = EventKind::Artifact {
            node: cx.node.clone(),
            variant: cx.variant.key.to_string(),
            artifact_type: self.kind,
            name: record.unique_name.clone(),
            bytes: there.bytes,
            sha256: record.sha256.clone(),
            nix32: nix32::encode(&self.sha256),
            store_path: None,
            how,
        };
        Ok((record, event))
    }
}

/// The existing file of a product, where it need not be made again. The file is hashed: a damaged one is made again.
/// Blocking.
pub(super) fn kept(
    (artifact, product): (&Artifact, &DeclaredProduct),
    captured: &Captured,
    known: &[ProductRecord],
    dir: &Path,
    stop: Stop<'_>,
) -> Option<FinishedProduct> {
    let record = known
        .iter()
        .find(|record| record.unique_name == product.unique_name)?;
    let is_of =
        record.method == product.method.to_string() && record.of == hex::encode(&captured.sha256);
    let path = dir.join(&product.unique_name);
    if !is_of || !record.stamp.is_of(&stamp(&path)?) {
        return None;
    }
    let sha256 = copy::hash(&path, Want::Flat, stop).ok()?.sums.sha256;
    (hex::encode(&sha256) == record.sha256).then(|| FinishedProduct {
        kind: artifact.kind.clone(),
        sha256,
        record: record.clone(),
        part: None,
    })
}

fn stamp(path: &Path) -> Option<Stamp> {
    let there = path.symlink_metadata().ok()?;
    there.is_file().then(|| Stamp::of(&there))
}

/// Records the products of a variant, and removes former ones from `dir` that are no longer right: of another content,
/// or no longer declared. A file that changed since it was recorded stays. Returns what could not be removed. Blocking.
///
/// # Errors
/// Those of the records.
pub(crate) fn settle(
    records: &Records,
    key: &VariantKey,
    dir: &Path,
    now: &[ProductRecord],
) -> Result<Vec<PathError>, RecordsError> {
    let before = records.products(key)?;
    let mut faults = Vec::new();
    for old in &before {
        let path = dir.join(&old.unique_name);
        let stays = now.iter().any(|new| new.unique_name == old.unique_name);
        if !stays && stamp(&path).is_some_and(|there| old.stamp.is_of(&there)) {
            faults.extend(remove(&path).err());
        }
    }
    if before != now {
        records.record_products(key, now)?;
    }
    Ok(faults)
}
