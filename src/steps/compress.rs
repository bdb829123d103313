//! Compress: makes what is declared to be made of the files that were captured. Needs the handover; leaves
//! in it products that are complete, beside the places that they take when the files are registered.
//!
//! It reads what nobody changes any more, the store's file or our copy, and not the build directory: the next
//! build need not wait for it. A product that is there, of this very content and made in this way, is kept.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::slice;

use super::capture::{
    blocking, clear_staging, fail, killed, of_copy, of_store, output_dir, staging,
};
use super::register::Registry;
use super::{Captures, StepContext, StepResult};
use crate::files::{PartFile, PathError, create_dir, remove};
use crate::model::event::{EventKind, How};
use crate::model::matrix::{Artifact, VariantKey};
use crate::model::nix32;
use crate::model::product::Product;
use crate::model::store_path::hex;
use crate::state::journal::Entry;
use crate::state::records::products::ProductRecord;
use crate::state::records::{Records, RecordsError};
use crate::store::copy::{self, Stamp, Stop};
use crate::store::hashing::Want;
use crate::store::products::{self, BLOCK, Source};
use crate::store::{Captured, Store};

/// Where the files have data of which something is made.
pub type Data = BTreeMap<String, Vec<Range<u64>>>;

/// A product that waits for its artifact's registration.
#[derive(Debug)]
pub struct Ready {
    /// The artifact's type.
    kind: String,
    /// What will be recorded; its state is known when it is in its place.
    record: ProductRecord,
    sha256: [u8; 32],
    /// The new file; none where the one that is there is kept.
    part: Option<PartFile>,
}

/// Makes the products of the variant, or none; `threads` is how many compress at the same time.
pub async fn compress(ctx: &StepContext, registry: &Registry, threads: u32) -> StepResult {
    let (ctx, registry) = (ctx.clone(), registry.clone());
    match blocking(move || make_all(&ctx, &registry, threads)).await {
        Ok(Ok(())) => StepResult::succeeded(),
        Ok(Err(failure)) | Err(failure) => failure,
    }
}

/// Where each file has data of which something will be made: holes are asked for while nobody builds.
pub(super) fn look(ctx: &StepContext, captured: &[Captured]) -> Result<Data, StepResult> {
    let mut data = Data::new();
    for artifact in &ctx.variant.artifacts {
        let one = captured_as(captured, &artifact.unique_name);
        if let (Some(one), false) = (one, artifact.products.is_empty()) {
            // A copy of ours has another state than what it was made of.
            let known = (!one.staged).then_some(&one.source);
            let ranges = copy::data_of(&one.path, known, BLOCK).map_err(|error| of_copy(&error))?;
            data.insert(artifact.unique_name.clone(), ranges);
        }
    }
    Ok(data)
}

fn captured_as<'c>(captured: &'c [Captured], name: &str) -> Option<&'c Captured> {
    captured.iter().find(|one| one.unique_name == name)
}

fn make_all(ctx: &StepContext, registry: &Registry, threads: u32) -> Result<(), StepResult> {
    let key = &ctx.variant.key;
    let mut captures = ctx.handover.take(key);
    match make(ctx, registry, &captures, threads) {
        Ok(products) => {
            captures.products = products;
            ctx.handover.put(key.clone(), captures);
            Ok(())
        }
        Err(failure) => {
            // Nothing of the variant is registered then, and everything stays as it was.
            clear_staging(ctx, &staging(ctx, &registry.store), &captures.captured);
            ctx.note(&Entry::Added {
                run: ctx.run.clone(),
                variant: key.clone(),
            });
            Err(failure)
        }
    }
}

fn make(
    ctx: &StepContext,
    registry: &Registry,
    captures: &Captures,
    threads: u32,
) -> Result<Vec<Ready>, StepResult> {
    let known = registry
        .records
        .products(&ctx.variant.key)
        .map_err(|error| fail(&error, error.hint()))?;
    let dir = output_dir(ctx);
    create_dir(&dir).map_err(|error| fail(&error, error.hint()))?;
    let mut ready = Vec::new();
    for artifact in &ctx.variant.artifacts {
        let Some(one) = captured_as(&captures.captured, &artifact.unique_name) else {
            continue;
        };
        let record = |product: &Product, sha256: &[u8; 32]| ProductRecord {
            unique_name: product.unique_name.clone(),
            method: product.method.to_string(),
            of: hex(&one.sha256),
            sha256: hex(sha256),
            stamp: one.source,
        };
        let mut wanted = Vec::new();
        for product in &artifact.products {
            // Where the build deploys it, it is the build's.
            if captured_as(&captures.captured, &product.unique_name).is_some() {
                continue;
            }
            check_place(ctx, &dir.join(&product.unique_name), &product.unique_name)?;
            match kept(artifact, product, one, &known, &dir, &killed(ctx)) {
                Some(kept) => ready.push(kept),
                None => wanted.push(product),
            }
        }
        if wanted.is_empty() {
            continue;
        }
        let (path, known) = lasting(one, &registry.store)?;
        let all = 0..one.bytes;
        let source = Source {
            path: &path,
            bytes: one.bytes,
            data: captures
                .data
                .get(&artifact.unique_name)
                .map_or(slice::from_ref(&all), Vec::as_slice),
            known,
        };
        let places: Vec<_> = wanted
            .iter()
            .map(|product| (product.method, dir.join(&product.unique_name)))
            .collect();
        let made = products::make(source, &places, threads, &killed(ctx))
            .map_err(|error| of_copy(&error))?;
        ready.extend(wanted.iter().zip(made).map(|(product, made)| Ready {
            kind: artifact.kind.clone(),
            record: record(product, &made.sha256),
            sha256: made.sha256,
            part: Some(made.part),
        }));
    }
    Ok(ready)
}

/// The file that stays as it was captured: in place, it is the store's. Where the collector took that, or where it
/// is no copy of ours, the state in which it must be.
fn lasting(one: &Captured, store: &Store) -> Result<(PathBuf, Option<Stamp>), StepResult> {
    if one.added.is_some() {
        let path = store
            .path_of(&one.sha256, &one.unique_name)
            .map_err(of_store)?;
        if path.symlink_metadata().is_ok() {
            return Ok((path, None));
        }
    }
    Ok((one.path.clone(), (!one.staged).then_some(one.source)))
}

/// Refuses a place that a product cannot take.
fn check_place(ctx: &StepContext, path: &Path, name: &str) -> Result<(), StepResult> {
    let Ok(there) = path.symlink_metadata() else {
        return Ok(());
    };
    let is_entry = ctx
        .variant
        .artifacts
        .iter()
        .any(|one| one.unique_name == name);
    let what = if there.is_symlink() {
        if is_entry {
            return Ok(());
        }
        "is the output entry of an artifact that is declared no longer"
    } else if there.is_file() {
        return Ok(());
    } else {
        "is no file"
    };
    let hint = "remove it, and its line in the hashes file where there is one".to_owned();
    Err(fail(format!("{} {what}", path.display()), Some(hint)))
}

/// A product that need not be made again. It is read: what compressing would make good is not believed.
fn kept(
    artifact: &Artifact,
    product: &Product,
    one: &Captured,
    known: &[ProductRecord],
    dir: &Path,
    stop: Stop<'_>,
) -> Option<Ready> {
    let record = known
        .iter()
        .find(|record| record.unique_name == product.unique_name)?;
    let is_of = record.method == product.method.to_string() && record.of == hex(&one.sha256);
    let path = dir.join(&product.unique_name);
    if !is_of || !record.stamp.is_of(&state(&path)?) {
        return None;
    }
    let sha256 = copy::hash(&path, Want::Flat, stop).ok()?.sums.sha256;
    (hex(&sha256) == record.sha256).then(|| Ready {
        kind: artifact.kind.clone(),
        sha256,
        record: record.clone(),
        part: None,
    })
}

fn state(path: &Path) -> Option<Stamp> {
    let there = path.symlink_metadata().ok()?;
    there.is_file().then(|| Stamp::of(&there))
}

impl Ready {
    /// Puts it in its place, and says what to record and what to tell.
    ///
    /// # Errors
    /// What the system answers; what was there is there still.
    pub(super) fn put(
        self,
        ctx: &StepContext,
        dir: &Path,
    ) -> Result<(ProductRecord, EventKind), PathError> {
        let path = dir.join(&self.record.unique_name);
        let (how, there) = match self.part {
            Some(part) => {
                part.commit(None)?;
                let there = path.symlink_metadata().map(|there| Stamp::of(&there));
                (How::Made, there.map_err(PathError::on("read", &path))?)
            }
            None => {
                let there = state(&path).filter(|there| self.record.stamp.is_of(there));
                let changed = || io::Error::other("it has changed since it was looked at");
                let there = there.ok_or_else(changed);
                (How::Kept, there.map_err(PathError::on("keep", &path))?)
            }
        };
        let record = ProductRecord {
            stamp: there,
            ..self.record
        };
        let event = EventKind::Artifact {
            node: ctx.node.clone(),
            variant: ctx.variant.key.to_string(),
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

/// Records that a variant has these products, and removes those that it has no more: of another content, or
/// no longer declared. One that somebody has changed since is left. Returns what cannot be removed.
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
        if !stays && state(&path).is_some_and(|there| old.stamp.is_of(&there)) {
            faults.extend(remove(&path).err());
        }
    }
    if before != now {
        records.record_products(key, now)?;
    }
    Ok(faults)
}
