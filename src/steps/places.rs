//! How many files the captures of a run take at the same time, whichever variants' they are. Knows nothing of
//! what is done with them.
//!
//! To take a file is to read all of it, and to write all of it where a store or a directory of ours gets it:
//! many at once only push each other out of the page cache. Who has a place waits for nobody who waits for
//! one: the gates of its own variant look into the files without, and a registration needs none. So there is
//! always one that gets on, and gives its place back.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places; clones share them. Who comes first is served first.
#[derive(Debug, Clone)]
pub struct Places(Arc<Semaphore>);

impl Places {
    /// So many of them, and at least one.
    #[must_use]
    pub fn of(number: usize) -> Places {
        Places(Arc::new(Semaphore::new(number.max(1))))
    }

    /// By the cores of a machine: two are busy with one file, ours that hash it and Nix's that write it.
    #[must_use]
    pub fn on(cores: u32) -> Places {
        Places::of(cores.clamp(2, 4) as usize)
    }

    /// Waits for a place; it is free again when the answer is dropped.
    pub(super) async fn take(self) -> Option<OwnedSemaphorePermit> {
        // They are never closed, so there is always one in the end.
        self.0.acquire_owned().await.ok()
    }
}

impl Default for Places {
    fn default() -> Places {
        Places::on(4)
    }
}
