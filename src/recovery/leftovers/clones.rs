//! Locks that killed git processes left in clones: with one of them every later build fails.

use std::fs;

use super::directories;
use crate::files::PathError;
use crate::recovery::Place;
use crate::recovery::report::{REMOVE, Report};
use crate::steps::git_locks;

/// Removes them, in the work directories of all variants and in the clones that they share. Another checkout may
/// build in the same places, so those are left of which a git may still have need.
pub(in crate::recovery) fn unlock(place: &Place<'_>, report: &mut Report) {
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
