//! Store paths that were being added.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::exec::end_marked;
use crate::fs::PathError;
use crate::matrix::VariantKey;
use crate::recovery::RecoveryPlace;
use crate::recovery::report::{REMOVE, RecoveryReport};
use crate::store::{Store, WRITER_MARK, writer_mark};

/// The time that a killed process has to end.
const WAIT: Duration = Duration::from_secs(5);

/// Ends processes that still write into a store for a dead run. The run's watcher does so too, unless it was killed.
pub(in crate::recovery) fn end_writers(place: &RecoveryPlace<'_>, run: &str) {
    if !place.dry_run {
        let mark = writer_mark(run, place.state.root());
        end_marked(&format!("{WRITER_MARK}={mark}"), WAIT);
    }
}

/// Removes half-written directories and reports the store paths that a death left half added; no process writes for
/// the run any more. A file at a store path of Nix may be incomplete, and adding it again repairs it. The local store's
/// paths appear complete or not at all.
pub(in crate::recovery) fn half_added(
    variant: &VariantKey,
    store: &Store,
    store_paths: &[PathBuf],
    report: &mut RecoveryReport,
) {
    for dir in store.half_written() {
        let what = format!("{}, which a Nix that was killed was writing", dir.display());
        report.attempt(REMOVE, what, || {
            fs::remove_dir_all(&dir).map_err(PathError::on("remove", &dir))
        });
    }
    for path in store_paths.iter().filter(|path| path.exists()) {
        let valid = store
            .hold()
            .and_then(|hold| store.is_valid(&hold, path))
            .unwrap_or(false);
        if !valid {
            report.known(format!(
                "{} is half added to the store; the next registration of {variant} repairs it",
                path.display()
            ));
        }
    }
}
