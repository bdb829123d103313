//! What lies about after a death: one file a kind. Knows nothing of processes.

mod clones;
mod entries;
mod half_added;
mod locks;
mod parts;
mod staging;

use std::fs;
use std::path::{Path, PathBuf};

use super::Place;
use super::report::Report;

pub(super) use clones::unlock;
pub(super) use entries::dangling;
pub(super) use half_added::{end_writers, half_added};
pub(super) use staging::in_store;

/// Removes what is left of runs that are gone; `runs` are those that the journal names.
pub(super) fn remove(place: &Place<'_>, runs: &[String], report: &mut Report) {
    staging::remove(place, runs, report);
    locks::remove(place, report);
    parts::remove(place, report);
}

/// What is in a directory, sorted; nothing where it cannot be read.
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
