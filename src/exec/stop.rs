//! The stop of a run: its levels, and the kill switch of a single process.

use tokio::sync::watch;

/// The level of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum StopLevel {
    /// The run goes on.
    #[default]
    Run,
    /// Running builds stop gracefully; captures and registrations finish.
    Graceful,
    /// Everything is killed.
    Kill,
}

/// The run's stop, as steps receive it.
pub type StopSignal = watch::Receiver<StopLevel>;

/// Waits until `signal` is above `seen`; for ever without a sender.
pub(super) async fn more_than(signal: &mut StopSignal, seen: StopLevel) -> StopLevel {
    let asked = signal
        .wait_for(|level| *level > seen)
        .await
        .map(|level| *level);
    match asked {
        Ok(level) => level,
        Err(_) => std::future::pending().await,
    }
}

/// Creates a kill switch for one process, independent of the run's stop: the handle fires it, and
/// [`crate::exec::ProcessControl::with_kill`] makes the process listen to the signal.
#[must_use]
pub fn kill_switch() -> (KillHandle, KillSignal) {
    let (sender, receiver) = watch::channel(false);
    (KillHandle(sender), KillSignal(receiver))
}

/// The right to kill one process. Dropping it changes nothing for the process.
#[derive(Debug)]
pub struct KillHandle(watch::Sender<bool>);

impl KillHandle {
    /// Kills the process.
    pub fn kill(&self) {
        self.0.send_replace(true);
    }
}

/// The side of a kill switch that a process listens to.
#[derive(Debug, Clone)]
pub struct KillSignal(watch::Receiver<bool>);

impl KillSignal {
    /// Waits until the handle fires; for ever if it was dropped before.
    pub(super) async fn fired(&mut self) {
        if self.0.wait_for(|fired| *fired).await.is_err() {
            std::future::pending().await
        }
    }
}
