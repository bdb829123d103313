//! Files that were being written.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fs::{try_lock, with_suffix};
use crate::hashes_file::file::HashesFile;
use crate::recovery::RecoveryPlace;
use crate::recovery::leftovers::{children, directories};
use crate::recovery::report::{REMOVE, RecoveryReport};

/// How long to wait for a living process that changes output entries. It does so for moments.
const WAIT: Duration = Duration::from_secs(10);

/// Files that were being written. The run lock keeps living writers out of the state directory, the
/// lock of the hashes file out of the output entries and the hashes.
pub(super) fn remove(place: &RecoveryPlace<'_>, report: &mut RecoveryReport) {
    let state = place.state;
    let local = state.store();
    let mut ours = parts_in(state.root(), &[".part"]);
    for dir in place.backends.iter().flat_map(|one| one.part_dirs(&local)) {
        ours.extend(parts_in(&dir, &[".part"]));
    }
    for machine in directories(&state.sizes()) {
        ours.extend(parts_in(&machine, &[".part"]));
    }
    for part in ours {
        remove_part(&part, report);
    }
    let hashes_file = &place.settings.hashes_file.value;
    let products = place.products.iter();
    let products = products.map(|one| [one.info().suffix, ".part"].concat());
    let products: Vec<String> = products.collect();
    let products: Vec<&str> = products.iter().map(String::as_str).collect();
    let of_output = || {
        let mut found: Vec<PathBuf> = directories(&place.settings.output_dir.value)
            .iter()
            .flat_map(|machine| {
                let mut parts = parts_in(machine, &[".link.part", ".old.part"]);
                parts.extend(dead(parts_in(machine, &products)));
                parts
            })
            .collect();
        let hashes = HashesFile::target(hashes_file).unwrap_or_else(|_| hashes_file.clone());
        found.extend(Some(with_suffix(&hashes, ".part")).filter(|part| exists(part)));
        found
    };
    if of_output().is_empty() {
        return;
    }
    match HashesFile::lock(hashes_file, &place.holder(), WAIT) {
        Ok(_lock) => {
            for part in of_output() {
                remove_part(&part, report);
            }
        }
        Err(error) => report.failed(&error, error.hint()),
    }
}

/// The part files that no living process writes: a run with another state directory and the same output directory locks
/// its part files.
fn dead(mut parts: Vec<PathBuf>) -> Vec<PathBuf> {
    parts.retain(|part| {
        part.symlink_metadata().is_ok_and(|there| there.is_file())
            && File::open(part).is_ok_and(|file| try_lock(&file).unwrap_or(false))
    });
    parts
}

fn remove_part(part: &Path, report: &mut RecoveryReport) {
    report.attempt(REMOVE, part.display(), || crate::fs::remove(part));
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn parts_in(dir: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let mut found = children(dir);
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ends.iter().any(|end| name.ends_with(end))
            && path.symlink_metadata().is_ok_and(|there| !there.is_dir())
    });
    found
}
