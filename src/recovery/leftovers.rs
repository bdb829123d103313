//! Files that a death leaves, one module a kind.

mod clones;
mod entries;
mod half_added;
mod locks;
mod parts;
mod staging;

use std::fs;
use std::path::{Path, PathBuf};

use crate::recovery::RecoveryPlace;
use crate::recovery::report::RecoveryReport;

pub(super) use crate::recovery::leftovers::clones::unlock;
pub(super) use crate::recovery::leftovers::entries::dangling;
pub(super) use crate::recovery::leftovers::half_added::{end_writers, half_added};
pub(super) use crate::recovery::leftovers::locks::remove_of_caches as cache_locks;
pub(super) use crate::recovery::leftovers::staging::in_store;

/// Removes the files of dead runs; `runs` are those in the journal.
pub(super) fn remove(place: &RecoveryPlace<'_>, runs: &[String], report: &mut RecoveryReport) {
    staging::remove(place, runs, report);
    locks::remove(place, report);
    parts::remove(place, report);
}

/// The entries of a directory, sorted; empty if it cannot be read.
fn children(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    all.sort();
    all
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let mut all = children(dir);
    all.retain(|path| path.symlink_metadata().is_ok_and(|there| there.is_dir()));
    all
}
