//! The capture step of `--hash-only`: takes the files in the output directory under their unique names, and hashes them
//! anew. Needs no build.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::{PathError, create_dir};
use crate::matrix::Artifact;
use crate::plan::step_info::always;
use crate::plan::{BuildDirUse, LaneSize, Scope, StepInfo, StepKind, StepLane, StepWords};
use crate::steps::capture::copying::FileCopy;
use crate::steps::capture::data_ranges;
use crate::steps::capture::staging::{capturing_entry, clear_staging, hold_staging, staging_dir};
use crate::steps::context::StepContext;
use crate::steps::errors::of_store;
use crate::steps::gates::inspection;
use crate::steps::gates::inspection::InspectedFile;
use crate::steps::result::StepResult;
use crate::steps::step::{Step, StepFuture};
use crate::steps::variant_state::{Captures, VariantState};
use crate::store::copy::CopyError;
use crate::store::{CaptureWay, Captured, Store, StoreError, copy};

/// The step's entry in plans. It uses no build directory.
pub static INFO: StepInfo = StepInfo {
    kind: StepKind::new("capture"),
    words: StepWords {
        verb: "capture",
        past: "captured",
        doing: "capturing",
    },
    mark: 'c',
    scopes: &[Scope::FromOutput],
    applies: always,
    lanes: &[StepLane {
        name: "capture",
        size: LaneSize::Captures,
    }],
    build_dir: BuildDirUse::None,
    heavy: false,
    assumed_millis: 3_000,
};

/// Captures every output entry of the variant. A file is registered from where it is; a link stands for its target.
pub struct CaptureOutput;

impl Step for CaptureOutput {
    fn info(&self) -> &'static StepInfo {
        &INFO
    }

    fn run<'a>(&'a self, cx: &'a StepContext, state: &'a mut VariantState) -> StepFuture<'a> {
        Box::pin(async move {
            let job = cx.clone();
            match cx.blocking(move || take_all(&job)).await.flatten() {
                Ok(captures) => {
                    state.captures = captures;
                    StepResult::succeeded()
                }
                Err(failure) => failure,
            }
        })
    }
}

fn take_all(cx: &StepContext) -> Result<Captures, StepResult> {
    let store: Arc<Store> = Arc::clone(&cx.services.registry.store);
    let found = find(cx)?;
    let hold = hold_staging(cx, &store)?;
    let staging = staging_dir(cx);
    cx.intend_blocking(&capturing_entry(cx, &staging))?;
    let mut files = Vec::new();
    let taken = found.into_iter().try_for_each(|(artifact, entry)| {
        let taker = EntryTaker {
            cx,
            store: &store,
            staging: &staging,
        };
        files.push(taker.take(artifact, &entry).map_err(of_store)?);
        Ok(())
    });
    let passed = taken.and_then(|()| {
        let inspected: Vec<InspectedFile> = files.iter().map(InspectedFile::from).collect();
        inspection::check(cx, &inspected)?;
        data_ranges::look_up(cx, &files)
    });
    match passed {
        Ok(data) => Ok(Captures {
            files,
            hold,
            data,
            ..Captures::default()
        }),
        Err(failure) => {
            clear_staging(cx, &staging, &files);
            Err(failure)
        }
    }
}

/// The output entries of the variant's artifacts.
fn find(cx: &StepContext) -> Result<Vec<(&Artifact, PathBuf)>, StepResult> {
    let dir = cx.output_dir();
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let mut dangling = Vec::new();
    for artifact in &cx.variant.artifacts {
        let name = &artifact.unique_name;
        let entry = dir.join(name);
        match entry.symlink_metadata() {
            // A registered entry is a link.
            Ok(there) if artifact.optional && !there.is_symlink() && is_product(cx, artifact) => {
                let hint = "it counts as made of the artifact beside it".to_owned();
                cx.warn(format!("{name} is not registered"), Some(hint));
            }
            Ok(there) => match fs::read_link(&entry) {
                Ok(target) if there.is_symlink() && !entry.exists() => {
                    dangling.push(format!(
                        "{} is a link to {}",
                        entry.display(),
                        target.display()
                    ));
                }
                _ => found.push((artifact, entry)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound && artifact.optional => {
                let hint = "it is optional and not registered".to_owned();
                cx.warn(format!("no {name} in {}", dir.display()), Some(hint));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(name.as_str()),
            Err(error) => {
                let error = PathError::on("read", &entry)(error);
                return Err(StepResult::error(&error, error.hint()));
            }
        }
    }
    let mut faults = Vec::new();
    if !missing.is_empty() {
        faults.push(format!(
            "{} has no {}",
            dir.display(),
            missing.join(", no ")
        ));
    }
    if !dangling.is_empty() {
        faults.push(format!("{}, which is gone", dangling.join(", ")));
    }
    if !faults.is_empty() {
        let hint = format!("build it: isar-build-all --variant {}", cx.variant.key);
        return Err(StepResult::failed(faults.join("; ")).hint(hint));
    }
    if found.is_empty() && !cx.variant.artifacts.is_empty() {
        let why = format!("{} has none of the variant's files", dir.display());
        let hint = format!("build it: isar-build-all --variant {}", cx.variant.key);
        return Err(StepResult::failed(why).hint(hint));
    }
    Ok(found)
}

/// Whether an artifact that the build did not deploy has the name of a product that is made here.
fn is_product(cx: &StepContext, artifact: &Artifact) -> bool {
    let mut products = cx.variant.products();
    products.any(|product| product.unique_name == artifact.unique_name)
}

struct EntryTaker<'a> {
    cx: &'a StepContext,
    store: &'a Store,
    staging: &'a Path,
}

impl EntryTaker<'_> {
    fn take(&self, artifact: &Artifact, entry: &Path) -> Result<Captured, StoreError> {
        let EntryTaker { cx, store, staging } = *self;
        let is_link = entry
            .symlink_metadata()
            .is_ok_and(|there| there.is_symlink());
        let path = if is_link {
            fs::canonicalize(entry).map_err(PathError::on("follow the link", entry))?
        } else {
            entry.to_owned()
        };
        let hashed = copy::hash(&path, store.want(), &cx.killed())?;
        if hashed.stamp.bytes == 0 {
            let empty = io::Error::new(io::ErrorKind::InvalidData, "it is empty");
            return Err(PathError::on("take", &path)(empty).into());
        }
        let captured = Captured {
            kind: artifact.kind.clone(),
            unique_name: artifact.unique_name.clone(),
            deploy_name: artifact.deploy_name.clone(),
            path: path.clone(),
            bytes: hashed.stamp.bytes,
            sha256: hashed.sums.sha256,
            nar_sha256: hashed.sums.nar_sha256,
            staged: false,
            source: hashed.stamp,
            added: None,
        };
        if !is_link || is_registered(store, &captured)? {
            return Ok(captured);
        }
        if let CaptureWay::InPlace = store.capture_way(&cx.run) {
            return Ok(captured);
        }
        // The store has to add it again, from a file with the unique name.
        create_dir(staging)?;
        let copy = FileCopy {
            dest: staging.join(&artifact.unique_name),
            synced: true,
            want: store.want(),
        };
        let (copied, _) = copy.make(artifact, &path, &cx.killed())?;
        if copied.sha256 != captured.sha256 {
            return Err(CopyError::Changed {
                path,
                what: "its content",
            }
            .into());
        }
        Ok(copied)
    }
}

/// Whether a link's target is the store path of its content, and valid.
fn is_registered(store: &Store, captured: &Captured) -> Result<bool, StoreError> {
    let target = &captured.path;
    if is_same(
        &store.path_of(&captured.sha256, &captured.unique_name)?,
        target,
    ) {
        let hold = store.hold()?;
        return store.has(&hold, &captured.sha256, &captured.unique_name);
    }
    let own_name = target
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.split_once('-'))
        .map(|(_, name)| name);
    if let Some(name) = own_name
        && store.contains(target)
        && !is_same(&store.path_of(&captured.sha256, name)?, target)
    {
        // Registering it would make a fault of the disk official.
        return Err(store.damaged(target, "not what its name says"));
    }
    Ok(false)
}

fn is_same(computed: &Path, target: &Path) -> bool {
    let real: Option<PathBuf> = fs::canonicalize(computed).ok();
    computed == target || real.as_deref() == Some(target)
}
