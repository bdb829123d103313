//! The run lock: one run at a time in a state directory. Knows nothing of what is done under it.

use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;

use super::failure::Failure;
use crate::cli::Wait;
use crate::state::StateDir;
use crate::state::lock::{Holder, LockError, LockFile, read_holder};

/// The run lock, and whose it was when we came where that process is gone.
pub struct RunLock {
    _lock: LockFile,
    /// Who died holding it.
    pub dead: Option<Holder>,
}

/// Takes the run lock, waiting as long as was asked for, and says on stderr for whom.
///
/// # Errors
/// When another process has it still.
pub fn take(
    state: &StateDir,
    command: &str,
    now: Timestamp,
    wait: &Wait,
) -> Result<RunLock, Failure> {
    let path = state.lock("run");
    let holder = Holder::this(command, now);
    let acquire = |wait| {
        // Who stands there while nobody holds it has died; a living one takes its name away.
        let before = read_holder(&path);
        LockFile::acquire(&path, &holder, wait).map(|lock| (lock, before))
    };
    let limit = wait.limit();
    let taken = match acquire(Duration::ZERO) {
        Err(error @ LockError::Held { .. }) if limit > Duration::ZERO => {
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "waiting: {error}");
            acquire(limit).map(|(lock, _)| (lock, None))
        }
        answer => answer,
    };
    let (lock, dead) =
        taken.map_err(|error| Failure::environment(&error).hint(hint(&error, limit)))?;
    Ok(RunLock { _lock: lock, dead })
}

fn hint(error: &LockError, waited: Duration) -> Option<String> {
    let hint = error.hint()?;
    Some(
        if matches!(error, LockError::Held { .. }) && waited == Duration::ZERO {
            format!("{hint}; `--wait` waits")
        } else {
            hint
        },
    )
}
