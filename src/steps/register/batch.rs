//! What a run publishes together (`--publish-if all`): registrations that are prepared wait here until
//! the last of the run is. Knows nothing of how they are committed.

use std::sync::{Mutex, PoisonError};

use super::commit::Prepared;

/// The registrations of a run that are published as one.
pub struct Batch {
    /// How many there will be.
    expected: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// How many have come, those without any artifact included.
    come: usize,
    prepared: Vec<Prepared>,
}

impl Batch {
    /// Waits for so many registrations.
    #[must_use]
    pub fn of(expected: usize) -> Batch {
        Batch {
            expected,
            waiting: Mutex::default(),
        }
    }

    /// One more is prepared, with nothing where the variant has no artifact. Returns all of them with
    /// the last.
    pub(super) fn add(&self, prepared: Option<Prepared>) -> Option<Vec<Prepared>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.come += 1;
        waiting.prepared.extend(prepared);
        (waiting.come == self.expected).then(|| std::mem::take(&mut waiting.prepared))
    }

    /// Gives up what waits still, and says how many variants that were.
    #[must_use]
    pub fn give_up(&self) -> usize {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut waiting.prepared).len()
    }
}
