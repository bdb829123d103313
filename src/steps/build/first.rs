//! The first build of a run prepares what all of them start from, and the others start when it has: a
//! container's first start registers foreign architectures with the kernel, and the first checkout
//! makes the clones that later ones copy. Two at once get in each other's way.
//!
//! Knows nothing of what is prepared but when it is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::exec::{StopLevel, StopSignal};
use crate::model::console::Line;

/// What has to be done before builds may start beside each other, each including the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Until {
    /// Nothing.
    #[default]
    Now,
    /// The container has set itself up, and kas speaks.
    KasRuns,
    /// kas has checked out the repositories, and BitBake speaks.
    CheckedOut,
}

impl Until {
    /// Whether this line shows that it is done.
    fn shown_by(self, line: &Line<'_>) -> bool {
        // BitBake's first words; what kas runs before is git.
        let of_bitbake = [
            "NOTE: ",
            "Loading cache",
            "Parsing recipes",
            "Initialising tasks",
        ];
        match self {
            Until::Now => true,
            Until::KasRuns => line.level.is_some(),
            Until::CheckedOut => of_bitbake.iter().any(|words| line.text.starts_with(words)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Nobody,
    Someone,
    Done,
}

/// Lets one build through first.
#[derive(Debug, Default)]
pub struct FirstStart {
    until: Until,
    state: Mutex<State>,
    changed: Notify,
}

/// The build that went first, until what it prepares is there. Dropped before that, the next goes first.
#[derive(Debug)]
pub(super) struct Pioneer<'f> {
    first: &'f FirstStart,
}

impl FirstStart {
    /// One build goes first, until that is done.
    #[must_use]
    pub fn until(until: Until) -> FirstStart {
        FirstStart {
            until,
            ..FirstStart::default()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this build may start; answers with the pioneer if it is the first. Ends at once where
    /// the run is to stop.
    pub(super) async fn enter(&self, stop: &StopSignal) -> Option<Pioneer<'_>> {
        let mut stop = stop.clone();
        loop {
            let changed = self.changed.notified();
            if self.until == Until::Now {
                return None;
            }
            {
                let mut state = self.state();
                match *state {
                    State::Done => return None,
                    State::Nobody => {
                        *state = State::Someone;
                        return Some(Pioneer { first: self });
                    }
                    State::Someone => {}
                }
            }
            tokio::select! {
                () = changed => {}
                _ = stop.wait_for(|level| *level > StopLevel::Run) => return None,
            }
        }
    }

    fn become_(&self, next: State) {
        let mut state = self.state();
        if *state == State::Someone {
            *state = next;
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl Pioneer<'_> {
    /// Whether a line shows that the others may follow; they do then.
    pub(super) fn hear(&self, line: &Line<'_>) -> bool {
        let done = self.first.until.shown_by(line);
        if done {
            self.first.become_(State::Done);
        }
        done
    }
}

impl Drop for Pioneer<'_> {
    fn drop(&mut self) {
        self.first.become_(State::Nobody);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    fn hear(pioneer: &Pioneer<'_>, text: &str) -> bool {
        pioneer.hear(&Line::new(text))
    }

    #[tokio::test]
    async fn others_wait_until_the_first_one_is_through() {
        let first = FirstStart::until(Until::CheckedOut);
        let (_ask, stop) = watch::channel(StopLevel::Run);
        let pioneer = first.enter(&stop).await.unwrap();
        let second = first.enter(&stop);
        tokio::pin!(second);
        assert!(futures_pending(&mut second).await);
        assert!(!hear(&pioneer, "Setting up binfmt"));
        assert!(!hear(
            &pioneer,
            "2026-01-01 00:00:00 - INFO     - Cloning repository isar"
        ));
        assert!(futures_pending(&mut second).await);
        assert!(hear(
            &pioneer,
            "2026-01-01 00:00:00 - INFO     - Loading cache...done."
        ));
        assert!(second.await.is_none(), "and is not the first");
        drop(pioneer);
        assert!(first.enter(&stop).await.is_none(), "it stays open");
    }

    #[tokio::test]
    async fn where_the_first_one_fails_the_next_goes_first() {
        let first = FirstStart::until(Until::KasRuns);
        let (ask, stop) = watch::channel(StopLevel::Run);
        let pioneer = first.enter(&stop).await.unwrap();
        let second = first.enter(&stop);
        tokio::pin!(second);
        assert!(futures_pending(&mut second).await);
        drop(pioneer);
        let second = second.await.unwrap();
        let third = first.enter(&stop);
        tokio::pin!(third);
        assert!(futures_pending(&mut third).await);
        assert!(hear(
            &second,
            "2026-01-01 00:00:00 - INFO     - kas 5.5 started"
        ));
        assert!(third.await.is_none());
        let _ = ask.send(StopLevel::Graceful);
    }

    #[tokio::test]
    async fn a_run_that_is_to_stop_does_not_wait() {
        let first = FirstStart::until(Until::KasRuns);
        let (ask, stop) = watch::channel(StopLevel::Run);
        let _pioneer = first.enter(&stop).await.unwrap();
        ask.send_replace(StopLevel::Graceful);
        assert!(first.enter(&stop).await.is_none());
        assert!(FirstStart::default().enter(&stop).await.is_none());
    }

    /// Whether a future is not ready yet.
    async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
        tokio::time::timeout(std::time::Duration::from_millis(20), future)
            .await
            .is_err()
    }
}
