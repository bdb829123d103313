//! Captures by leaving the files where they are: each is hashed by us and added by the store at the same
//! time, straight from the deploy directory. Nobody builds there meanwhile: the step has the lane of the
//! build directory until the store has the files.
//!
//! Everything that can be refused without the bytes is asked first, and what needs a look into the files
//! while they are hashed; the store gets them when all of it has passed. A file that the store has, and
//! that is in the state in which it was registered, is not read at all.

use std::path::Path;
use std::sync::Arc;

use super::gate::{self, Judged};
use super::{
    Capture, Provenance, Source, StepContext, StepResult, Taken, all, blocking, fail, killed,
    of_store,
};
use crate::model::event::How;
use crate::state::journal::{Entry, StorePlace};
use crate::steps::gates::{self, Subject};
use crate::store::copy;
use crate::store::hashing::{Sums, Want};
use crate::store::in_place::{self, Go};
use crate::store::{Captured, Hold, NixStore, Store, StoreError};

/// A source, and its hash where the store has it already.
type Known = (Source, Option<[u8; 32]>);

/// Takes all, or none; what is added of what fails later is nobody's root.
pub(super) async fn take(
    capture: &Capture,
    sources: Vec<Source>,
    program: &Path,
) -> Result<(Vec<Taken>, Arc<Hold>), StepResult> {
    let Store::Nix(nix) = &*capture.store else {
        return Err(StepResult::failed(
            "internal fault: this store takes copies alone",
        ));
    };
    let (known, hold) = {
        let (capture, nix) = (capture.clone(), nix.clone());
        blocking(move || begin(&capture, &nix, sources)).await??
    };
    let subjects: Vec<Subject> = known.iter().map(|(source, _)| subject(source)).collect();
    let (unknown, known): (Vec<Known>, Vec<Known>) =
        known.into_iter().partition(|(_, sha256)| sha256.is_none());
    let unknown: Vec<Source> = unknown.into_iter().map(|(source, _)| source).collect();
    let ctx = &capture.ctx;
    ctx.intend(&Entry::Adding {
        run: ctx.run.clone(),
        variant: ctx.variant.key.clone(),
        store: StorePlace::of(&capture.store),
        // They are known when the files are hashed, and then the registration names them.
        store_paths: Vec::new(),
    })?;
    let go = Arc::new(Go::default());
    let gates = {
        let (ctx, go) = (ctx.clone(), Arc::clone(&go));
        async move {
            let passed = blocking(move || gates::check(&ctx, &subjects))
                .await
                .flatten();
            go.say(passed.is_ok());
            passed
        }
    };
    let add = {
        let (ctx, hold, nix) = (ctx.clone(), Arc::clone(&hold), nix.clone());
        let program = program.to_owned();
        move |source: Source| add_one(&ctx, &nix, &program, &hold, &source, &go)
    };
    let (passed, (mut taken, added)) = tokio::join!(gates, all(ctx, unknown, add));
    if let Err(failure) = passed.and(added) {
        ctx.note(&Entry::Added {
            run: ctx.run.clone(),
            variant: ctx.variant.key.clone(),
        });
        return Err(failure);
    }
    taken.extend(known.into_iter().filter_map(|(source, sha256)| {
        let sums = Sums {
            sha256: sha256?,
            nar_sha256: None,
        };
        Some((captured(&source, sums, How::AlreadyValid), How::InPlace))
    }));
    let place = |taken: &Taken| {
        let mut artifacts = ctx.variant.artifacts.iter();
        artifacts.position(|artifact| artifact.unique_name == taken.0.unique_name)
    };
    taken.sort_by_key(place);
    Ok((taken, hold))
}

/// What is known without reading a file that is new: its freshness, and its hash where it was registered in
/// this very state and the store has it.
fn begin(
    capture: &Capture,
    nix: &NixStore,
    sources: Vec<Source>,
) -> Result<(Vec<Known>, Arc<Hold>), StepResult> {
    let ctx = &capture.ctx;
    let hold = Arc::new(capture.store.hold_until(killed(ctx)).map_err(of_store)?);
    let mut known = Vec::with_capacity(sources.len());
    for source in sources {
        let sha256 = registered(capture, nix, &hold, &source)?;
        known.push((source, sha256));
    }
    if let Provenance::Built(records) = &capture.provenance {
        let judged = known
            .iter()
            .map(|known| judged(ctx, known))
            .collect::<Result<Vec<_>, _>>()?;
        gate::freshness(ctx, records, &capture.build_dir, &judged)?;
    }
    Ok((known, hold))
}

/// The hash of a file that was registered in the state in which it is, and that the store has.
fn registered(
    capture: &Capture,
    nix: &NixStore,
    hold: &Hold,
    source: &Source,
) -> Result<Option<[u8; 32]>, StepResult> {
    let Some(records) = capture.provenance.records() else {
        return Ok(None);
    };
    let name = &source.artifact.unique_name;
    let Some(sha256) = records
        .hash_of_unchanged(name, &source.stamp)
        .map_err(|error| fail(&error, error.hint()))?
    else {
        return Ok(None);
    };
    let is_there = nix.has_whole(hold, &sha256, name, source.stamp.bytes);
    Ok(is_there.map_err(of_store)?.then_some(sha256))
}

/// Read only where nothing but its bytes can prove whose it is.
fn judged(ctx: &StepContext, (source, sha256): &Known) -> Result<Judged, StepResult> {
    let mut sha256 = *sha256;
    if sha256.is_none() && ctx.handover.needs_bytes(&ctx.variant.key, &source.stamp) {
        let hashed = copy::hash(&source.path, Want::Flat, &killed(ctx))
            .map_err(|error| gate::of_copy(ctx, &error))?;
        sha256 = Some(hashed.sums.sha256);
    }
    Ok(Judged {
        unique_name: source.artifact.unique_name.clone(),
        deploy_name: source.artifact.deploy_name.clone(),
        source: source.stamp,
        sha256,
    })
}

fn subject(source: &Source) -> Subject {
    Subject {
        kind: source.artifact.kind.clone(),
        unique_name: source.artifact.unique_name.clone(),
        deploy_name: source.artifact.deploy_name.clone(),
        path: source.path.clone(),
    }
}

fn add_one(
    ctx: &StepContext,
    nix: &NixStore,
    program: &Path,
    hold: &Hold,
    source: &Source,
    go: &Go,
) -> Result<Taken, StepResult> {
    let Source {
        artifact,
        path,
        stamp,
    } = source;
    match in_place::add(nix, program, hold, path, &artifact.unique_name, stamp, go) {
        Ok((hashed, how)) => Ok((captured(source, hashed.sums, how), How::InPlace)),
        Err(StoreError::Copy(error)) => Err(gate::of_copy(ctx, &error)),
        Err(error) => Err(of_store(error)),
    }
}

fn captured(source: &Source, sums: Sums, how: How) -> Captured {
    let Source {
        artifact,
        path,
        stamp,
    } = source;
    Captured {
        kind: artifact.kind.clone(),
        unique_name: artifact.unique_name.clone(),
        deploy_name: artifact.deploy_name.clone(),
        path: path.clone(),
        bytes: stamp.bytes,
        sha256: sums.sha256,
        nar_sha256: sums.nar_sha256,
        staged: false,
        source: *stamp,
        added: Some(how),
    }
}
