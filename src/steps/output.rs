//! Takes what lies in the output directory under unique names, in place of a capture (`--hash-only`).
//! Needs no build; leaves in the handover what it found, hashed anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::capture::{
    blocking, clear_staging, copy_one, fail, hold_staging, journal_staging, killed, of_store,
    output_dir, staging,
};
use super::gates::{self, Subject};
use super::{Captures, StepContext, StepResult, compress};
use crate::files::{PathError, create_dir};
use crate::model::matrix::Artifact;
use crate::store::copy::{self, CopyError};
use crate::store::{Captured, Store, StoreError, Taking};

/// Hashes every output entry of the variant. A file is registered from where it is; a link stands for
/// what it points to.
pub async fn take_output(ctx: &StepContext, store: &Arc<Store>) -> StepResult {
    let (ctx, store) = (ctx.clone(), Arc::clone(store));
    match blocking(move || take_all(&ctx, &store)).await {
        Ok(Ok(())) => StepResult::succeeded(),
        Ok(Err(failure)) | Err(failure) => failure,
    }
}

fn take_all(ctx: &StepContext, store: &Store) -> Result<(), StepResult> {
    let dir = output_dir(ctx);
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let mut gone = Vec::new();
    for artifact in &ctx.variant.artifacts {
        let entry = dir.join(&artifact.unique_name);
        match entry.symlink_metadata() {
            // What was registered is a link.
            Ok(there) if artifact.optional && !there.is_symlink() && is_product(ctx, artifact) => {
                let message = format!("{} is not registered", artifact.unique_name);
                let hint = "it is taken for one that was made of the artifact beside it".to_owned();
                ctx.events.warn(Some(&ctx.node), message, Some(hint));
            }
            Ok(there) => match fs::read_link(&entry) {
                Ok(target) if there.is_symlink() && !entry.exists() => {
                    gone.push(format!(
                        "{} is a link to {}",
                        entry.display(),
                        target.display()
                    ));
                }
                _ => found.push((artifact, entry)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound && artifact.optional => {
                let message = format!("no {} in {}", artifact.unique_name, dir.display());
                let hint = Some("it is optional and not registered".to_owned());
                ctx.events.warn(Some(&ctx.node), message, hint);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.push(artifact.unique_name.as_str());
            }
            Err(error) => {
                let error = PathError::on("read", &entry)(error);
                return Err(fail(&error, error.hint()));
            }
        }
    }
    if !gone.is_empty() || !missing.is_empty() {
        let mut faults = Vec::new();
        if !missing.is_empty() {
            faults.push(format!(
                "{} has no {}",
                dir.display(),
                missing.join(", no ")
            ));
        }
        if !gone.is_empty() {
            faults.push(format!("{}, which is gone", gone.join(", ")));
        }
        let why = faults.join("; ");
        let hint = format!("build it: isar-build-all --variant {}", ctx.variant.key);
        return Err(fail(why, Some(hint)));
    }
    let hold = hold_staging(ctx, store)?;
    let staging = staging(ctx, store);
    journal_staging(ctx, &staging)?;
    let mut captured = Vec::new();
    let taken = found.into_iter().try_for_each(|(artifact, entry)| {
        captured.push(take(ctx, store, &staging, artifact, &entry).map_err(of_store)?);
        Ok(())
    });
    let subjects: Vec<Subject> = captured.iter().map(Subject::from).collect();
    let checked = taken.and_then(|()| gates::check(ctx, &subjects));
    if checked.is_err() {
        clear_staging(ctx, &staging, &captured);
        return checked;
    }
    let data =
        compress::look(ctx, &captured).inspect_err(|_| clear_staging(ctx, &staging, &captured))?;
    let captures = Captures {
        captured,
        hold,
        data,
        ..Captures::default()
    };
    ctx.handover.put(ctx.variant.key.clone(), captures);
    Ok(())
}

/// Whether a file of this name is made here where the build deploys none.
fn is_product(ctx: &StepContext, artifact: &Artifact) -> bool {
    let mut products = ctx.variant.products();
    products.any(|product| product.unique_name == artifact.unique_name)
}

fn take(
    ctx: &StepContext,
    store: &Store,
    staging: &Path,
    artifact: &Artifact,
    entry: &Path,
) -> Result<Captured, StoreError> {
    let is_link = entry
        .symlink_metadata()
        .is_ok_and(|there| there.is_symlink());
    let path = if is_link {
        fs::canonicalize(entry).map_err(PathError::on("follow the link", entry))?
    } else {
        entry.to_owned()
    };
    let hashed = copy::hash(&path, store.want(), &killed(ctx))?;
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
    if !is_link || registered(store, &captured)? {
        return Ok(captured);
    }
    if let Taking::InPlace(_) = store.taking(&ctx.run) {
        return Ok(captured);
    }
    // It has to be added again, which takes a file of the unique name.
    create_dir(staging)?;
    let dest = staging.join(&artifact.unique_name);
    let (copied, _) = copy_one(artifact, &path, dest, true, store.want(), &killed(ctx))?;
    if copied.sha256 != captured.sha256 {
        return Err(CopyError::Changed {
            path,
            what: "its content",
        }
        .into());
    }
    Ok(copied)
}

/// Whether what a link points to is where the store keeps this very content, and valid.
fn registered(store: &Store, captured: &Captured) -> Result<bool, StoreError> {
    let target = &captured.path;
    if same(
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
        && !same(&store.path_of(&captured.sha256, name)?, target)
    {
        // Registering it would make a fault of the disk official.
        return Err(store.damaged(target, "not what its name says"));
    }
    Ok(false)
}

fn same(computed: &Path, target: &Path) -> bool {
    let real: Option<PathBuf> = fs::canonicalize(computed).ok();
    computed == target || real.as_deref() == Some(target)
}
