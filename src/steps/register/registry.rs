//! The registry: what the registrations of a run share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Clock;
use crate::state::records::Records;
use crate::steps::register::batch::Batch;
use crate::store::Store;

/// The store and the records of a run, and how its registrations are published.
#[derive(Clone)]
pub struct Registry {
    /// The store.
    pub store: Arc<Store>,
    /// The records. Blocking.
    pub records: Arc<Records>,
    /// The clock.
    pub clock: Clock,
    /// This run's command line, shown to processes that wait for its locks.
    pub command: String,
    /// The number of transactions begun; each has its number in the journal.
    pub transactions: Arc<AtomicU64>,
    /// The batch that registrations wait in; absent: each is published by itself.
    pub batch: Option<Arc<Batch>>,
}

impl Registry {
    /// A registry without a batch.
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

    /// The number of the next transaction, from 1.
    pub(super) fn next_number(&self) -> u64 {
        self.transactions.fetch_add(1, Ordering::Relaxed) + 1
    }
}
