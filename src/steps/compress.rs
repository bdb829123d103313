//! The compression step: makes the declared products of captured files. Leaves complete files beside the places that
//! they take when the variant is registered.
//!
//! It reads files that no longer change, those of the store or staged copies, and not the build directory: the next
//! build need not wait for it. A product that exists, of this content and by this method, is kept.

use std::path::{Path, PathBuf};
use std::slice;

use crate::base::hex;
use crate::fs::create_dir;
use crate::fs::stamp::Stamp;
use crate::inputs::record::ProductRecord;
use crate::matrix::Artifact;
use crate::plan::{BuildDirUse, LaneSize, Scope, StepInfo, StepKind, StepLane, StepWords};
use crate::state::journal::Entry;
use crate::steps::capture::staging::{clear_staging, staging_dir};
use crate::steps::context::StepContext;
use crate::steps::errors::{of_copy, of_store};
use crate::steps::product_files::{FinishedProduct, kept};
use crate::steps::result::StepResult;
use crate::steps::step::{Step, StepFuture};
use crate::steps::variant_state::{Captures, VariantState};
use crate::store::product::DeclaredProduct;
use crate::store::products::{Source, WantedProducts};
use crate::store::{Captured, Store, products};

/// The step's entry in plans. One at a time: it uses several threads, and memory that must not add up.
pub static INFO: StepInfo = StepInfo {
    kind: StepKind::new("compress"),
    words: StepWords {
        verb: "compress",
        past: "compressed",
        doing: "compressing",
    },
    mark: 'z',
    scopes: &[Scope::Full, Scope::FromDeploy, Scope::FromOutput],
    applies: |variant| variant.products().next().is_some(),
    lanes: &[StepLane {
        name: "compress",
        size: LaneSize::Fixed(1),
    }],
    build_dir: BuildDirUse::None,
    heavy: false,
    assumed_millis: 5_000,
};

/// Makes all products of the variant, or none.
pub struct Compress;

impl Step for Compress {
    fn info(&self) -> &'static StepInfo {
        &INFO
    }

    fn run<'a>(&'a self, cx: &'a StepContext, state: &'a mut VariantState) -> StepFuture<'a> {
        Box::pin(async move {
            let (job, captures) = (cx.clone(), std::mem::take(&mut state.captures));
            match cx
                .blocking(move || make_all(&job, captures))
                .await
                .flatten()
            {
                Ok(captures) => {
                    state.captures = captures;
                    StepResult::succeeded()
                }
                Err(failure) => failure,
            }
        })
    }
}

fn make_all(cx: &StepContext, mut captures: Captures) -> Result<Captures, StepResult> {
    match make(cx, &captures) {
        Ok(products) => {
            captures.products = products;
            Ok(captures)
        }
        Err(failure) => {
            // The variant is not registered, and everything stays as it was.
            clear_staging(cx, &staging_dir(cx), &captures.files);
            cx.note_blocking(&Entry::Added {
                run: cx.run.clone(),
                variant: cx.variant.key.clone(),
            });
            Err(failure)
        }
    }
}

fn make(cx: &StepContext, captures: &Captures) -> Result<Vec<FinishedProduct>, StepResult> {
    let registry = &cx.services.registry;
    let known = registry
        .records
        .products(&cx.variant.key)
        .map_err(|error| StepResult::error(&error, error.hint()))?;
    let dir = cx.output_dir();
    create_dir(&dir).map_err(|error| StepResult::error(&error, error.hint()))?;
    let mut finished = Vec::new();
    for artifact in &cx.variant.artifacts {
        let Some(one) = captured_as(captures, &artifact.unique_name) else {
            continue;
        };
        let mut wanted = Vec::new();
        for product in &artifact.products {
            // The build deploys this file itself.
            if captured_as(captures, &product.unique_name).is_some() {
                continue;
            }
            check_place(cx, &dir.join(&product.unique_name), &product.unique_name)?;
            match kept((artifact, product), one, &known, &dir, &cx.killed()) {
                Some(kept) => finished.push(kept),
                None => wanted.push(product),
            }
        }
        if !wanted.is_empty() {
            let work = ArtifactProducts {
                cx,
                artifact,
                captured: one,
                dir: &dir,
            };
            finished.extend(work.make(captures, &wanted)?);
        }
    }
    Ok(finished)
}

fn captured_as<'c>(captures: &'c Captures, name: &str) -> Option<&'c Captured> {
    captures.files.iter().find(|one| one.unique_name == name)
}

/// The products to make of one artifact.
struct ArtifactProducts<'a> {
    cx: &'a StepContext,
    artifact: &'a Artifact,
    captured: &'a Captured,
    /// The output directory.
    dir: &'a Path,
}

impl ArtifactProducts<'_> {
    fn make(
        &self,
        captures: &Captures,
        wanted: &[&DeclaredProduct],
    ) -> Result<Vec<FinishedProduct>, StepResult> {
        let (cx, one) = (self.cx, self.captured);
        let (path, known) = lasting(one, &cx.services.registry.store)?;
        let all = 0..one.bytes;
        let source = Source {
            path: &path,
            bytes: one.bytes,
            data: captures
                .data
                .get(&self.artifact.unique_name)
                .map_or(slice::from_ref(&all), Vec::as_slice),
            known,
        };
        let places: Vec<_> = wanted
            .iter()
            .map(|product| (product.method, self.dir.join(&product.unique_name)))
            .collect();
        let wanted_products = WantedProducts {
            places: &places,
            known: &cx.services.products,
        };
        let made = products::make(source, wanted_products, cx.services.threads, &cx.killed())
            .map_err(|error| of_copy(&error))?;
        let finished = wanted.iter().zip(made).map(|(product, made)| {
            let record = ProductRecord {
                unique_name: product.unique_name.clone(),
                method: product.method.to_string(),
                of: hex::encode(&one.sha256),
                sha256: hex::encode(&made.sha256),
                // The product's own is known once it is in its place.
                stamp: one.source,
            };
            FinishedProduct::made(&self.artifact.kind, record, made.sha256, made.part)
        });
        Ok(finished.collect())
    }
}

/// The path of a captured file that does not change: the store's where it was added in place. Where the collector has
/// taken that, or where the file is not a staged copy, also the stamp that it must have.
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

/// Refuses a path at which a product cannot be put.
fn check_place(cx: &StepContext, path: &Path, name: &str) -> Result<(), StepResult> {
    let Ok(there) = path.symlink_metadata() else {
        return Ok(());
    };
    let mut artifacts = cx.variant.artifacts.iter();
    let what = if there.is_symlink() {
        if artifacts.any(|one| one.unique_name == name) {
            return Ok(());
        }
        "is the output entry of an artifact that is no longer declared"
    } else if there.is_file() {
        return Ok(());
    } else {
        "is not a file"
    };
    let hint = "remove it, and its line in the hashes file where there is one";
    Err(StepResult::failed(format!("{} {what}", path.display())).hint(hint))
}
