//! Finish: closes the run's journal and records, and waits until the reporters have drawn everything.
//!
//! The outcome is known already. A disk or a reporter that does not answer delays the end until a signal comes.

use std::io::{self, Write as _};
use std::sync::Arc;

use crate::caches::InUse;
use crate::event::Hub;
use crate::event::outcome::RunOutcome;
use crate::inputs::observer::InputObserver;
use crate::run::lock::RunLock;
use crate::run::planned::RunIdentity;
use crate::run::signals::StopSignals;
use crate::state::journal::Journal;
use crate::state::records::Records;

/// A run whose plan was walked, and whose last event is emitted.
pub(super) struct ExecutedRun {
    pub(super) outcome: RunOutcome,
    pub(super) identity: RunIdentity,
    pub(super) lock: RunLock,
    pub(super) caches: Option<InUse>,
    pub(super) records: Arc<Records>,
    pub(super) observer: Option<Arc<InputObserver>>,
    pub(super) journal: Arc<Journal>,
    pub(super) hub: Hub,
}

/// Finishes a run and returns the exit code.
pub(super) fn finish(run: ExecutedRun) -> u8 {
    let ExecutedRun {
        outcome,
        identity,
        lock,
        caches,
        records,
        observer,
        journal,
        hub,
    } = run;
    let book = move || close(outcome, &identity, &records, observer.as_deref(), &journal);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        // Without a runtime nothing can race the signals, and they have their default effect no more.
        book().iter().for_each(|message| warn(message));
        let _ = hub.join();
        return outcome.exit_code();
    };
    runtime.block_on(async {
        let mut stop = StopSignals::listen().ok();
        match unless_stopped(stop.as_mut(), book).await {
            Some(messages) => messages.iter().for_each(|message| warn(message)),
            None => warn("stopped before the journal was closed: the next run recovers this one"),
        }
        let failures = unless_stopped(stop.as_mut(), move || hub.join()).await;
        for failure in failures.into_iter().flatten() {
            if !failure.announced {
                warn(&failure.to_string());
            }
        }
    });
    // A call that was left may go on until the process ends.
    runtime.shutdown_background();
    drop((caches, lock));
    outcome.exit_code()
}

/// Closes the journal and the records. None of what fails here changes the outcome; returns it as warnings.
fn close(
    outcome: RunOutcome,
    identity: &RunIdentity,
    records: &Records,
    observer: Option<&InputObserver>,
    journal: &Journal,
) -> Vec<String> {
    if let Some(observer) = observer
        && let Ok(lines) = records.all_key_lines()
    {
        observer.tidy(lines);
    }
    let mut warnings = Vec::new();
    if let Err(error) = journal.end(&identity.id) {
        warnings.push(error.to_string());
    }
    if let Err(error) = records.record_run_finished(&identity.id, word(outcome), identity.now()) {
        warnings.push(error.to_string());
    }
    warnings
}

/// The outcome as the records write it.
fn word(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Succeeded => "succeeded",
        RunOutcome::Failed => "failed",
        RunOutcome::Interrupted => "interrupted",
        RunOutcome::Terminated => "terminated",
    }
}

/// Runs `work` on a thread of its own and returns its result, or `None` if a signal came first or it panicked.
async fn unless_stopped<T: Send + 'static>(
    stop: Option<&mut StopSignals>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let result = tokio::task::spawn_blocking(work);
    let Some(stop) = stop else {
        return result.await.ok();
    };
    tokio::select! {
        biased;
        result = result => result.ok(),
        _ = stop.next() => None,
    }
}

/// Prints a warning for which no reporter is left.
fn warn(message: &str) {
    // A closed stderr leaves no place for it.
    let _ = writeln!(io::stderr(), "warning: {message}");
}
