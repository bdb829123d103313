//! The signals that ask a run to stop: SIGINT and SIGTERM.
//!
//! Until a run listens, both end the process at once, as the kernel does by default.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::run::scheduler::StopRequest;

/// Signals that arrived and are not handled yet; a second SIGINT is a request of its own.
const QUEUE: usize = 8;

/// A listener for both signals.
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Listens from here on. Needs a runtime; from the first call on, neither signal ends the process.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub(super) fn listen() -> io::Result<StopSignals> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> StopRequest {
        tokio::select! {
            Some(()) = self.interrupt.recv() => StopRequest::Interrupt,
            Some(()) = self.terminate.recv() => StopRequest::Terminate,
            else => std::future::pending().await,
        }
    }

    /// Queues the signals, in the order of their arrival, until the receiver is dropped.
    pub(super) fn queue(mut self) -> mpsc::Receiver<StopRequest> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            loop {
                let request = self.next().await;
                if sender.send(request).await.is_err() {
                    break;
                }
            }
        });
        receiver
    }
}
