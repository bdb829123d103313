//! git locks: lock files that killed git processes left in clones, and with which every later build would fail.

use std::fs;

use crate::fs::PathError;
use crate::recovery::RecoveryPlace;
use crate::recovery::leftovers::directories;
use crate::recovery::report::{REMOVE, RecoveryReport};
use crate::steps::git_locks;

/// Removes git locks in the work directories of all variants and in shared clones. Another checkout may build in the
/// same directories, so locks that a live git may need stay.
pub(in crate::recovery) fn unlock(place: &RecoveryPlace<'_>, report: &mut RecoveryReport) {
    let machines = directories(&place.settings.build_root.value);
    let mut repositories = directories(&place.settings.repo_ref_dir.value);
    let variants = machines.iter().flat_map(|machine| directories(machine));
    repositories.extend(variants.flat_map(|variant| git_locks::clones(&variant.join("work"))));
    for lock in git_locks::outlived(repositories) {
        let what = format!("{}, which a killed git left", lock.display());
        report.attempt(REMOVE, what, || {
            fs::remove_file(&lock).map_err(PathError::on("remove", &lock))
        });
    }
}
