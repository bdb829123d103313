//! The registration step: puts captured files into the store and writes their hashes. Leaves valid store paths, output
//! entries that point to them, the hashes file and a record.
//!
//! Every instant in between is safe: first all files go into the store, which changes nothing that was there; then
//! output entries and hashes change together (see [`transaction`]). The journal has each intent before it is acted on.

pub mod batch;
pub mod prepared;
mod record_key;
pub mod registry;
mod transaction;

use std::sync::Arc;

use crate::hashes_file::file::read_text;
use crate::plan::step_info::always;
use crate::plan::{BuildDirUse, LaneSize, Scope, StepInfo, StepKind, StepLane, StepWords};
use crate::state::journal::Entry;
use crate::steps::artifact_event::artifact_event;
use crate::steps::capture::staging::{clear_staging, staging_dir};
use crate::steps::context::StepContext;
use crate::steps::errors::of_store;
use crate::steps::gates::uniqueness;
use crate::steps::register::prepared::PreparedVariant;
use crate::steps::register::transaction::Transaction;
use crate::steps::result::StepResult;
use crate::steps::step::{Step, StepFuture};
use crate::steps::variant_state::{Captures, VariantState};
use crate::store::{Added, Captured, Hold};

pub use crate::steps::register::registry::Registry;

/// The step's entry in plans. One at a time: transactions would only wait for each other's lock of the hashes file.
pub static INFO: StepInfo = StepInfo {
    kind: StepKind::new("register"),
    words: StepWords {
        verb: "register",
        past: "registered",
        doing: "registering",
    },
    mark: 'r',
    scopes: &[Scope::Full, Scope::FromDeploy, Scope::FromOutput],
    applies: always,
    lanes: &[StepLane {
        name: "register",
        size: LaneSize::Fixed(1),
    }],
    build_dir: BuildDirUse::None,
    heavy: false,
    assumed_millis: 5_000,
};

/// Registers all captured files of the variant, or none.
pub struct Register;

impl Step for Register {
    fn info(&self) -> &'static StepInfo {
        &INFO
    }

    fn run<'a>(&'a self, cx: &'a StepContext, state: &'a mut VariantState) -> StepFuture<'a> {
        Box::pin(async move {
            let (job, state) = (cx.clone(), std::mem::take(state));
            cx.blocking(move || register(&job, state))
                .await
                .flatten()
                .into()
        })
    }
}

fn register(cx: &StepContext, state: VariantState) -> Result<(), StepResult> {
    let files = state.captures.files.clone();
    if files.is_empty() {
        let mut artifacts = cx.variant.artifacts.iter();
        return if artifacts.all(|artifact| artifact.optional) {
            publish(cx, None)
        } else {
            Err(StepResult::failed("no file was captured"))
        };
    }
    let prepared = prepare(cx, state);
    let registered = prepared.and_then(|prepared| publish(cx, Some(prepared)));
    // Also after a failure: the deployed files can be captured again, and a full disk is no place for copies.
    clear_staging(cx, &staging_dir(cx), &files);
    registered
}

/// Changes output entries and hashes: now, or with the whole batch once all of it is prepared.
fn publish(cx: &StepContext, prepared: Option<PreparedVariant>) -> Result<(), StepResult> {
    let registry = &cx.services.registry;
    let mut prepared = match &registry.batch {
        Some(batch) => match batch.add(prepared) {
            Some(all) => all,
            None => return Ok(()),
        },
        None => Vec::from_iter(prepared),
    };
    if prepared.is_empty() {
        return Ok(());
    }
    Transaction {
        run: &cx.run,
        hashes_file: &cx.settings.hashes_file.value,
        registry,
        journal: &cx.journal,
        events: &cx.events,
        stop: Box::new(cx.killed()),
    }
    .commit(&mut prepared)
}

/// Puts the files into the store. Its garbage collector is held back until the transaction has ended.
fn prepare(cx: &StepContext, state: VariantState) -> Result<PreparedVariant, StepResult> {
    let registry = &cx.services.registry;
    let Captures {
        files,
        hold,
        products,
        ..
    } = state.captures;
    // Checked before anything is added, and again in the transaction.
    let text = read_text(&cx.settings.hashes_file.value)
        .map_err(|error| StepResult::error(&error, error.hint()))?;
    uniqueness::compare(cx, &registry.records, &files, &text)?;
    let hold = match hold {
        Some(hold) => hold,
        None => Arc::new(registry.store.hold_until(cx.killed()).map_err(of_store)?),
    };
    let added = add(cx, &files, &hold)?;
    let names = cx.variant.artifacts.iter();
    Ok(PreparedVariant {
        cx: cx.clone(),
        names: names.map(|artifact| artifact.unique_name.clone()).collect(),
        output_dir: cx.output_dir(),
        events: files
            .iter()
            .zip(&added)
            .map(|(one, added)| artifact_event(cx, one, Some(&added.store_path), added.how))
            .collect(),
        artifacts: files.into_iter().zip(added).collect(),
        products,
        inputs: state.inputs,
        hold,
    })
}

fn add(cx: &StepContext, files: &[Captured], hold: &Hold) -> Result<Vec<Added>, StepResult> {
    let store = &cx.services.registry.store;
    let store_paths = files
        .iter()
        .map(|one| store.path_of(&one.sha256, &one.unique_name))
        .collect::<Result<Vec<_>, _>>()
        .map_err(of_store)?;
    cx.intend_blocking(&Entry::Adding {
        run: cx.run.clone(),
        variant: cx.variant.key.clone(),
        store: store.place(),
        store_paths,
    })?;
    let mut added = Vec::with_capacity(files.len());
    for one in files {
        added.push(store.insert(hold, one).map_err(of_store)?);
    }
    cx.note_blocking(&Entry::Added {
        run: cx.run.clone(),
        variant: cx.variant.key.clone(),
    });
    Ok(added)
}
