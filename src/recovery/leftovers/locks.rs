//! Lock files without a holder.

use std::time::Duration;

use super::children;
use crate::recovery::Place;
use crate::recovery::report::{REMOVE, Report};
use crate::state::lock::{LockError, LockFile, read_holder};
use crate::store::hashes_file::HashesFile;

/// Lock files of dead holders. They lock nobody out, but tell of somebody who is gone.
pub(super) fn remove(place: &Place<'_>, report: &mut Report) {
    let run = place.state.lock("run");
    let hashes = HashesFile::lock_path(&place.settings.hashes_file.value).ok();
    let files = children(&place.state.locks())
        .into_iter()
        .filter(|path| *path != run && path.extension().is_some_and(|end| end == "lock"))
        .chain(hashes.filter(|path| path.exists()));
    for path in files {
        let was = read_holder(&path);
        // To take and drop it removes the file.
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
