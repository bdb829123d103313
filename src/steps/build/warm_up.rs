//! The warm-up: one build of a run, its *leader*, prepares what every build starts from, and the others start after
//! that. The first start of a container registers foreign architectures with the kernel, and the first checkout makes
//! the clones that later ones copy; two at once get in each other's way.
//!
//! Knows when the warm-up is done, not what it prepares.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::bitbake::console::ConsoleLine;
use crate::exec::{StopLevel, StopSignal};

/// How far the leader has to come before other builds may start. Each goal includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum WarmUpGoal {
    /// There is nothing to prepare.
    #[default]
    Nothing,
    /// The container has set itself up, and kas writes.
    KasRuns,
    /// kas has checked out the repositories, and BitBake writes.
    CheckedOut,
}

/// The beginnings of BitBake's first lines; before them, kas runs git.
const FIRST_LINES: [&str; 4] = [
    "NOTE: ",
    "Loading cache",
    "Parsing recipes",
    "Initialising tasks",
];

impl WarmUpGoal {
    fn is_reached_by(self, line: &ConsoleLine<'_>) -> bool {
        match self {
            WarmUpGoal::Nothing => true,
            WarmUpGoal::KasRuns => line.level.is_some(),
            WarmUpGoal::CheckedOut => FIRST_LINES.iter().any(|first| line.text.starts_with(first)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum WarmUpState {
    #[default]
    Open,
    HasLeader,
    Done,
}

/// The warm-up of a run.
#[derive(Debug, Default)]
pub struct WarmUp {
    goal: WarmUpGoal,
    state: Mutex<WarmUpState>,
    changed: Notify,
}

/// The build that warms up. Dropped before the goal is reached, the next build leads.
#[derive(Debug)]
pub(super) struct WarmUpLeader<'w> {
    warm_up: &'w WarmUp,
}

impl WarmUp {
    /// A warm-up to this goal.
    #[must_use]
    pub fn to(goal: WarmUpGoal) -> WarmUp {
        WarmUp {
            goal,
            ..WarmUp::default()
        }
    }

    fn state(&self) -> MutexGuard<'_, WarmUpState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this build may start. Returns the leader if this build is it. Returns at once when the run is
    /// stopped.
    pub(super) async fn enter(&self, stop: &StopSignal) -> Option<WarmUpLeader<'_>> {
        let mut stop = stop.clone();
        loop {
            let changed = self.changed.notified();
            if self.goal == WarmUpGoal::Nothing {
                return None;
            }
            {
                let mut state = self.state();
                match *state {
                    WarmUpState::Done => return None,
                    WarmUpState::Open => {
                        *state = WarmUpState::HasLeader;
                        return Some(WarmUpLeader { warm_up: self });
                    }
                    WarmUpState::HasLeader => {}
                }
            }
            tokio::select! {
                () = changed => {}
                _ = stop.wait_for(|level| *level > StopLevel::Run) => return None,
            }
        }
    }

    /// The leader has reached the goal, or is gone.
    fn leader_is(&self, next: WarmUpState) {
        let mut state = self.state();
        if *state == WarmUpState::HasLeader {
            *state = next;
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl WarmUpLeader<'_> {
    /// Takes note of a line of the leader's output. Returns whether it shows that the goal is reached; the others
    /// then start.
    pub(super) fn hear(&self, line: &ConsoleLine<'_>) -> bool {
        let reached = self.warm_up.goal.is_reached_by(line);
        if reached {
            self.warm_up.leader_is(WarmUpState::Done);
        }
        reached
    }
}

impl Drop for WarmUpLeader<'_> {
    fn drop(&mut self) {
        self.warm_up.leader_is(WarmUpState::Open);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    fn hear(leader: &WarmUpLeader<'_>, text: &str) -> bool {
        leader.hear(&ConsoleLine::new(text))
    }

    /// Whether a future is still pending.
    async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
        tokio::time::timeout(std::time::Duration::from_millis(20), future)
            .await
            .is_err()
    }

    #[tokio::test]
    async fn builds_wait_until_the_leader_has_reached_the_goal() {
        let warm_up = WarmUp::to(WarmUpGoal::CheckedOut);
        let (_stopper, stop) = watch::channel(StopLevel::Run);
        let leader = warm_up.enter(&stop).await.unwrap();
        let second = warm_up.enter(&stop);
        tokio::pin!(second);
        assert!(is_pending(&mut second).await);

        assert!(!hear(&leader, "Setting up binfmt"));
        assert!(!hear(
            &leader,
            "2026-01-01 00:00:00 - INFO     - Cloning repository isar"
        ));
        assert!(is_pending(&mut second).await);
        assert!(hear(
            &leader,
            "2026-01-01 00:00:00 - INFO     - Loading cache...done."
        ));

        assert!(second.await.is_none(), "the second build does not lead");
        drop(leader);
        assert!(warm_up.enter(&stop).await.is_none(), "it stays open");
    }

    #[tokio::test]
    async fn next_build_leads_when_a_leader_fails() {
        let warm_up = WarmUp::to(WarmUpGoal::KasRuns);
        let (_stopper, stop) = watch::channel(StopLevel::Run);
        let leader = warm_up.enter(&stop).await.unwrap();
        let second = warm_up.enter(&stop);
        tokio::pin!(second);
        assert!(is_pending(&mut second).await);

        drop(leader);

        let second = second.await.unwrap();
        let third = warm_up.enter(&stop);
        tokio::pin!(third);
        assert!(is_pending(&mut third).await);
        assert!(hear(
            &second,
            "2026-01-01 00:00:00 - INFO     - kas 5.5 started"
        ));
        assert!(third.await.is_none());
    }

    #[tokio::test]
    async fn stopped_run_does_not_wait_for_the_leader() {
        let warm_up = WarmUp::to(WarmUpGoal::KasRuns);
        let (stopper, stop) = watch::channel(StopLevel::Run);
        let _leader = warm_up.enter(&stop).await.unwrap();

        stopper.send_replace(StopLevel::Graceful);

        assert!(warm_up.enter(&stop).await.is_none());
        assert!(WarmUp::default().enter(&stop).await.is_none());
    }
}
