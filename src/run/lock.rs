//! The run lock: one run at a time in a state directory.

use std::io::Write;
use std::time::Duration;

use crate::base::failure::Failure;
use crate::fs::lock::{Holder, LockError, LockFile, read_holder};
use crate::recovery::{RecoveryLine, RecoveryReport};
use crate::state::StateDir;

/// The run lock, held until dropped.
pub(crate) struct RunLock {
    _lock: LockFile,
    /// The holder that died without releasing it, if any.
    pub(crate) dead: Option<Holder>,
}

impl RunLock {
    /// Reports first that the lock of a dead process was taken over.
    pub(crate) fn report_takeover(&self, report: &mut RecoveryReport) {
        if let Some(holder) = &self.dead {
            let line = format!(
                "took over the run lock of process {}, which is gone",
                holder.pid
            );
            report.lines.insert(0, RecoveryLine::Done(line));
        }
    }
}

/// Acquires the run lock, waiting up to `limit`; names the present holder on stderr while it waits.
///
/// # Errors
/// When the holder outlasts the limit.
pub(crate) fn acquire(
    state: &StateDir,
    holder: &Holder,
    limit: Duration,
) -> Result<RunLock, Failure> {
    let path = state.lock("run");
    let acquire = |wait| {
        // A name in an unlocked file is left by a process that died: a live one erases it on release.
        let before = read_holder(&path);
        LockFile::acquire(&path, holder, wait).map(|lock| (lock, before))
    };
    let taken = match acquire(Duration::ZERO) {
        Err(error @ LockError::Held { .. }) if limit > Duration::ZERO => {
            // A closed stderr leaves no place for it.
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
    let could_wait = matches!(error, LockError::Held { .. }) && waited.is_zero();
    Some(match could_wait {
        true => format!("{hint}; `--wait` waits"),
        false => hint,
    })
}
