//! The watcher of a run: it stops the run's programs if the run is killed.

use crate::base::failure::Failure;
use crate::event::EventSink;
use crate::exec::Undo;
use crate::exec::watcher::{UndoGuard, Watcher};
use crate::state::RunDir;

/// Starts the watcher, before anything that it might have to undo.
///
/// # Errors
/// When it cannot be started.
pub(super) fn start(run_dir: &RunDir) -> Result<Watcher, Failure> {
    let program = std::env::current_exe().map_err(Failure::environment)?;
    let log = run_dir.root().join("watcher.log");
    Watcher::start(&program, &log).map_err(Failure::environment)
}

/// Registers the programs that write into the store, before the first of them is started.
pub(super) async fn guard_store(
    watcher: &Watcher,
    undo: Undo,
    events: &EventSink,
) -> Option<UndoGuard> {
    match watcher.guard("store", undo).await {
        Ok(guard) => Some(guard),
        Err(error) => {
            let message = format!(
                "{error}: programs that write into the store would outlive this run if it is killed"
            );
            events.warn(None, message, None);
            None
        }
    }
}

/// Waits for the watcher's end and warns of it. Holds a handle on the watcher, which lives until the last one
/// is dropped: an end that this sees is a death.
pub(super) async fn warn_of_death(watcher: Option<Watcher>, events: EventSink) {
    let Some(watcher) = watcher else { return };
    if watcher.dead().wait_for(|dead| *dead).await.is_ok() {
        events.warn(
            None,
            "the watcher died: builds would outlive this run if it is killed",
            Some("stop the run with Control-C, which needs no watcher, and start it again".into()),
        );
    }
}
