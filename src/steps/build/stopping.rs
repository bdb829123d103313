//! Stops a running build: gracefully through its engine, or by killing everything that belongs to it.

use std::time::Duration;

use crate::exec::{ASK_LIMIT, StopLevel, Undo, UndoLimits, quiet};

/// The time limit for killing a build.
const KILL_LIMIT: Duration = Duration::from_secs(8);

/// Between two attempts to stop a container.
const RETRY: Duration = Duration::from_millis(200);

/// Acts on a stop of this level. `graceful` is the engine's command that stops the container; empty without one.
pub(super) async fn stop(level: StopLevel, graceful: &[String], undo: &Undo, patience: Duration) {
    match level {
        StopLevel::Run => {}
        StopLevel::Graceful if !graceful.is_empty() => {
            stop_container(graceful, undo, patience).await;
        }
        StopLevel::Graceful => {}
        StopLevel::Kill => {
            undo.run(UndoLimits {
                settle: Duration::ZERO,
                ask: ASK_LIMIT,
                total: KILL_LIMIT,
            })
            .await;
        }
    }
}

/// Stops the container. Retries while the engine may still be about to create it: the signal to the process group does
/// not reach an engine that runs behind sudo.
async fn stop_container(command: &[String], undo: &Undo, patience: Duration) {
    loop {
        let (code, _) = quiet(command, patience).await;
        if code == Some(0) || !undo.anyone_left() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}
