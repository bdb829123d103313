//! Lock files of dead processes.

use std::time::Duration;

use crate::caches::Cache;
use crate::fs::lock::{LockError, LockFile, read_holder};
use crate::fs::use_lock::{Sharing, holders};
use crate::hashes_file::file::HashesFile;
use crate::recovery::RecoveryPlace;
use crate::recovery::leftovers::children;
use crate::recovery::report::{REMOVE, RecoveryReport};

/// Removes lock files of dead holders. They block no process, but name one that is gone.
pub(super) fn remove(place: &RecoveryPlace<'_>, report: &mut RecoveryReport) {
    let run = place.state.lock("run");
    let hashes = HashesFile::lock_path(&place.settings.hashes_file.value).ok();
    let files = children(&place.state.locks())
        .into_iter()
        .filter(|path| *path != run && path.extension().is_some_and(|end| end == "lock"))
        .chain(hashes.filter(|path| path.exists()));
    for path in files {
        let was = read_holder(&path);
        // The release of the lock removes the file.
        match LockFile::acquire(&path, &place.holder(), Duration::ZERO) {
            Ok(lock) => {
                drop(lock);
                let who = was.map_or_else(String::new, |holder| {
                    format!(" of process {}, which is gone", holder.pid)
                });
                report.done(REMOVE, format!("the lock {}{who}", path.display()));
            }
            Err(LockError::Held { .. }) => {}
            Err(error) => report.failed(&error, error.hint()),
        }
    }
}

/// Removes lock files of caches that dead runs left. They block no process.
pub(in crate::recovery) fn remove_of_caches(
    place: &RecoveryPlace<'_>,
    report: &mut RecoveryReport,
) {
    let settings = place.settings;
    for cache in Cache::present(&settings.dl_dir.value, &settings.sstate_dir.value) {
        let path = cache.lock();
        if !path.exists() || !holders(&path).is_empty() {
            continue;
        }
        // Dropped, a lock that is held alone removes its file.
        let hold = || cache.hold(Sharing::Exclusive, &place.holder(), Duration::ZERO);
        if place.dry_run || hold().is_ok() {
            let what = format!("the lock file {} of a run that is gone", path.display());
            report.done(REMOVE, what);
        }
    }
}
