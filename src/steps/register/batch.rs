//! The batch of `--publish-if all`: prepared registrations wait here until the last one of the run is prepared. How they
//! are committed is elsewhere.

use std::sync::{Mutex, PoisonError};

use crate::steps::register::prepared::PreparedVariant;

/// The registrations of a run that are published as one.
pub struct Batch {
    /// The number of registrations to come.
    expected: usize,
    waiting: Mutex<WaitingVariants>,
}

#[derive(Default)]
struct WaitingVariants {
    /// How many have come, including variants without any artifact.
    come: usize,
    prepared: Vec<PreparedVariant>,
}

impl Batch {
    /// A batch of this many registrations.
    #[must_use]
    pub fn of(expected: usize) -> Batch {
        Batch {
            expected,
            waiting: Mutex::default(),
        }
    }

    /// Adds a prepared variant; `None` where it has no artifact. Returns all of them with the last one.
    pub(super) fn add(&self, prepared: Option<PreparedVariant>) -> Option<Vec<PreparedVariant>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.come += 1;
        waiting.prepared.extend(prepared);
        (waiting.come == self.expected).then(|| std::mem::take(&mut waiting.prepared))
    }

    /// Gives up the waiting variants and returns how many there were.
    #[must_use]
    pub fn give_up(&self) -> usize {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut waiting.prepared).len()
    }
}
