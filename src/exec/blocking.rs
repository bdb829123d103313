//! Blocking calls from async code: moves a call to the blocking pool, and stops waiting for it when the run is
//! to stop.
//!
//! A call to a disk that does not answer cannot be cancelled. Its thread stays in the pool until the kernel
//! returns, so the shutdown of a runtime must not wait for its blocking pool.

use std::time::Duration;

use thiserror::Error;

use crate::exec::stop::{StopLevel, StopSignal};

/// Why a blocking call has no result.
#[derive(Debug, Error)]
pub enum BlockingError {
    /// The run was stopped first. The call may still take effect.
    #[error("the run was stopped before the disk answered")]
    Stopped,
    /// The call panicked.
    #[error("internal fault: {0}")]
    Panicked(String),
}

/// Runs `work` on the blocking pool and waits for its result, or until the run is stopped at `give_up` or above.
///
/// With [`StopLevel::Kill`] the wait goes on through a graceful stop: for work that such a stop lets finish.
/// With [`StopLevel::Graceful`] the first stop ends it: for work before something is started.
///
/// # Errors
/// See [`BlockingError`].
pub async fn blocking<T: Send + 'static>(
    stop: &StopSignal,
    give_up: StopLevel,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockingError> {
    blocking_within(stop, give_up, Duration::ZERO, work).await
}

/// As [`blocking`], but waits for `grace` longer once the run is stopped at `give_up` or above: for work that notices
/// the stop itself and cleans up.
///
/// # Errors
/// See [`BlockingError`].
pub async fn blocking_within<T: Send + 'static>(
    stop: &StopSignal,
    give_up: StopLevel,
    grace: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockingError> {
    let mut stop = stop.clone();
    let stopped = async {
        // Without a sender no stop can come any more.
        if stop.wait_for(|level| *level >= give_up).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(grace).await;
    };
    let result = tokio::task::spawn_blocking(work);
    tokio::select! {
        // A result that is ready counts, even if the stop came at the same time.
        biased;
        result = result => result.map_err(|error| BlockingError::Panicked(error.to_string())),
        () = stopped => Err(BlockingError::Stopped),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn a_call_returns_its_result_without_a_stop() {
        let (_sender, stop) = watch::channel(StopLevel::Run);

        let result = blocking(&stop, StopLevel::Graceful, || 3).await;

        assert_eq!(result.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_left_at_the_level_that_it_names_and_not_before() {
        let (sender, stop) = watch::channel(StopLevel::Run);
        let (release, released) = mpsc::channel::<()>();
        let call = tokio::spawn(async move {
            blocking(&stop, StopLevel::Kill, move || released.recv().is_ok()).await
        });

        sender.send_replace(StopLevel::Graceful);
        tokio::task::yield_now().await;
        assert!(!call.is_finished());
        sender.send_replace(StopLevel::Kill);

        assert!(matches!(call.await.unwrap(), Err(BlockingError::Stopped)));
        drop(release);
    }

    #[tokio::test]
    async fn a_panic_in_a_call_is_an_error() {
        let (_sender, stop) = watch::channel(StopLevel::Run);

        let result = blocking(&stop, StopLevel::Kill, || panic!("on purpose")).await;

        assert!(matches!(result, Err::<(), _>(BlockingError::Panicked(_))));
    }
}
