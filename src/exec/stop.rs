//! How far a run has been asked to stop.

use tokio::sync::watch;

/// How far a run has been asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum StopLevel {
    /// It goes on.
    #[default]
    Run,
    /// Running builds stop gracefully; captures and registrations finish.
    Graceful,
    /// Everything is killed.
    Kill,
}

/// What a step is told when the run is to stop.
pub type StopSignal = watch::Receiver<StopLevel>;

/// Waits until `signal` asks for more than `seen`; for ever when nobody can ask any more.
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
