//! Register: puts what was captured into the store and writes its hashes. Needs the handover; leaves
//! valid store paths, output entries that point to them, the hashes file and a record.
//!
//! The order keeps every instant safe: all files into the store, which changes nothing that was there;
//! then output entries and hashes change together (see [`commit`]). The journal says beforehand what
//! is about to be done.

pub mod batch;
pub mod commit;
mod remember;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::capture::{
    artifact_event, blocking, clear_staging, fail, killed, of_store, output_dir, staging,
};
use super::{Captures, StepContext, StepResult, content};
use crate::report::Clock;
use crate::state::journal::{Entry, StorePlace};
use crate::state::records::Records;
use crate::store::hashes_file::read_text;
use crate::store::{Added, Captured, Hold, Store};

use batch::Batch;
use commit::{Prepared, Transaction};

/// What registrations of a run share.
#[derive(Clone)]
pub struct Registry {
    /// The store.
    pub store: Arc<Store>,
    /// The records.
    pub records: Arc<Records>,
    /// The time.
    pub clock: Clock,
    /// This run's command line, for those who wait for our locks.
    pub command: String,
    /// How many transactions the run has begun; their numbers in the journal.
    pub transactions: Arc<AtomicU64>,
    /// Where registrations wait for each other; none where each is published by itself.
    pub batch: Option<Arc<Batch>>,
}

/// Registers what was captured of the variant, all of it or nothing.
pub async fn register(ctx: &StepContext, registry: &Registry) -> StepResult {
    let (ctx, registry) = (ctx.clone(), registry.clone());
    match blocking(move || register_all(&ctx, &registry)).await {
        Ok(Ok(())) => StepResult::succeeded(),
        Ok(Err(failure)) | Err(failure) => failure,
    }
}

fn register_all(ctx: &StepContext, registry: &Registry) -> Result<(), StepResult> {
    let Captures {
        captured,
        hold,
        products,
        ..
    } = ctx.handover.take(&ctx.variant.key);
    if captured.is_empty() {
        return if ctx
            .variant
            .artifacts
            .iter()
            .all(|artifact| artifact.optional)
        {
            publish(ctx, registry, None)
        } else {
            Err(StepResult::failed("nothing was captured"))
        };
    }
    let prepared = prepare(ctx, registry, &captured, hold);
    let registered = prepared.and_then(|prepared| {
        publish(
            ctx,
            registry,
            Some(Prepared {
                products,
                ..prepared
            }),
        )
    });
    // Also where it failed: the deployed files are still there to be taken again, and a full disk is
    // no place to keep copies.
    clear_staging(ctx, &staging(ctx, &registry.store), &captured);
    registered
}

/// Changes output entries and hashes: now, or together with the others of the run once all are prepared.
fn publish(
    ctx: &StepContext,
    registry: &Registry,
    prepared: Option<Prepared>,
) -> Result<(), StepResult> {
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
        run: &ctx.run,
        hashes_file: &ctx.settings.hashes_file.value,
        registry,
        journal: &ctx.journal,
        events: &ctx.events,
        stop: Box::new(killed(ctx)),
    }
    .commit(&mut prepared)
}

/// Puts the files into the store, and holds its collector back until the transaction has ended.
fn prepare(
    ctx: &StepContext,
    registry: &Registry,
    captured: &[Captured],
    hold: Option<Arc<Hold>>,
) -> Result<Prepared, StepResult> {
    let store = &registry.store;
    let store_paths = captured
        .iter()
        .map(|one| store.path_of(&one.sha256, &one.unique_name))
        .collect::<Result<Vec<_>, _>>()
        .map_err(of_store)?;
    // Now, so that nothing is added that is refused; and once more in the transaction.
    let text =
        read_text(&ctx.settings.hashes_file.value).map_err(|error| fail(&error, error.hint()))?;
    content::compare(ctx, &registry.records, captured, &text)?;
    let hold = match hold {
        Some(hold) => hold,
        None => Arc::new(store.hold_until(killed(ctx)).map_err(of_store)?),
    };
    ctx.intend(&Entry::Adding {
        run: ctx.run.clone(),
        variant: ctx.variant.key.clone(),
        store: StorePlace::of(store),
        store_paths,
    })?;
    let mut added: Vec<Added> = Vec::with_capacity(captured.len());
    for one in captured {
        added.push(store.insert(&hold, one).map_err(of_store)?);
    }
    ctx.note(&Entry::Added {
        run: ctx.run.clone(),
        variant: ctx.variant.key.clone(),
    });
    Ok(Prepared {
        ctx: ctx.clone(),
        key: ctx.variant.key.clone(),
        names: ctx
            .variant
            .artifacts
            .iter()
            .map(|artifact| artifact.unique_name.clone())
            .collect(),
        node: ctx.node.clone(),
        output_dir: output_dir(ctx),
        events: captured
            .iter()
            .zip(&added)
            .map(|(one, added)| artifact_event(ctx, one, Some(&added.store_path), added.how))
            .collect(),
        artifacts: captured.iter().cloned().zip(added).collect(),
        products: Vec::new(),
        hold,
    })
}

impl Registry {
    /// What registrations of a run share, before the first.
    #[must_use]
    pub fn new(store: Store, records: Arc<Records>, clock: Clock, command: String) -> Registry {
        Registry {
            store: Arc::new(store),
            records,
            clock,
            command,
            transactions: Arc::default(),
            batch: None,
        }
    }

    fn next_number(&self) -> u64 {
        self.transactions.fetch_add(1, Ordering::Relaxed) + 1
    }
}
