//! What lies about after a death: captures that nobody registers, files that were being written, locks
//! without a holder, output entries without a target. Knows nothing of processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Place;
use super::report::{REMOVE, Report};
use crate::files::{PathError, with_suffix};
use crate::model::hashes::parse;
use crate::model::matrix::VariantKey;
use crate::state::lock::{LockError, LockFile, read_holder};
use crate::store::entries::Before;
use crate::store::hashes_file::{HashesFile, read_text};
use crate::store::{LocalStore, Store};

/// How long to wait for a living process that changes output entries. It does so for moments.
const WAIT: Duration = Duration::from_secs(10);

/// Names that a line lists before it counts the rest.
const LISTED: usize = 5;

/// Removes what is left of runs that are gone; `runs` are those that the journal names.
pub(super) fn remove(place: &Place<'_>, runs: &[String], report: &mut Report) {
    staging(place, runs, report);
    locks(place, report);
    parts(place, report);
}

/// Says which store paths a death left half added. A file at a store path of Nix is no proof that it is
/// complete; to add it again repairs it. In a store of ours a path appears complete or not at all.
pub(super) fn half_added(
    variant: &VariantKey,
    store: &Store,
    store_paths: &[PathBuf],
    report: &mut Report,
) {
    let Store::Nix(_) = store else { return };
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

/// Removes output entries whose target is gone, and says which hashes no store path stands behind.
pub(super) fn dangling(place: &Place<'_>, store: Option<&Store>, report: &mut Report) {
    let path = &place.settings.hashes_file.value;
    let text = match read_text(path) {
        Ok(text) if text.trim().is_empty() => return,
        Ok(text) => text,
        Err(error) => return report.failed(&error, error.hint()),
    };
    let file = match parse(&text) {
        Ok(file) => file,
        Err(error) => {
            let message = format!("{} cannot be checked: {error}", path.display());
            return report.failed(message, error.hint());
        }
    };
    for machine in directories(&place.settings.output_dir.value) {
        for entry in children(&machine) {
            let Ok(Before::Link { target }) = Before::of(&entry) else {
                continue;
            };
            let is_named = entry
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| file.get(name).is_some());
            // A store that is not there at all, as a drive that is not mounted, has lost nothing.
            let has_store = target.parent().is_some_and(Path::exists);
            if is_named && has_store && !entry.exists() {
                let what = format!(
                    "{}: it points to {}, which is gone",
                    entry.display(),
                    target.display()
                );
                report.attempt(REMOVE, what, || crate::files::remove(&entry));
            }
        }
    }
    let Some(store) = store else {
        report.known("the hashes were not checked: the store cannot be used");
        return;
    };
    let missing: Vec<&str> = file
        .entries()
        .filter(|(name, sha256)| {
            !store
                .path_of(sha256, name)
                .is_ok_and(|store_path| store_path.exists())
        })
        .map(|(name, _)| name)
        .collect();
    if !missing.is_empty() {
        let more = match missing.len().checked_sub(LISTED) {
            Some(more @ 1..) => format!(" and {more} more"),
            _ => String::new(),
        };
        let listed = missing[..missing.len().min(LISTED)].join(", ");
        report.known(format!(
            "{} names files that are not in this store: {listed}{more}; they were registered \
             elsewhere or are lost, and a build brings them",
            path.display()
        ));
    }
}

/// Captures of runs that are gone. Those of a run that this state directory does not know may be a
/// living one's of another.
fn staging(place: &Place<'_>, runs: &[String], report: &mut Report) {
    for machine in directories(&place.settings.output_dir.value) {
        let all = machine.join(".captured");
        for dir in directories(&all) {
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            let shown = dir.display();
            if runs.iter().any(|run| *run == name) || place.state.run(&name).root().exists() {
                report.attempt(REMOVE, format!("captures in {shown}"), || {
                    fs::remove_dir_all(&dir).map_err(PathError::on("remove", &dir))
                });
            } else {
                report.known(format!(
                    "{shown} holds captures of a run of another state directory; it was left"
                ));
            }
        }
        if !place.dry_run {
            // Only where it is empty.
            let _ = fs::remove_dir(&all);
        }
    }
}

/// Lock files of dead holders. They lock nobody out, but tell of somebody who is gone.
fn locks(place: &Place<'_>, report: &mut Report) {
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

/// Files that were being written. The run lock keeps living writers out of the state directory, the
/// lock of the hashes file out of the output entries and the hashes.
fn parts(place: &Place<'_>, report: &mut Report) {
    let state = place.state;
    let local = LocalStore::new(state.store());
    let mut ours = parts_in(state.root(), &[".part"]);
    ours.extend(parts_in(local.dir(), &[".part"]));
    for machine in directories(&state.sizes()) {
        ours.extend(parts_in(&machine, &[".part"]));
    }
    for part in ours {
        remove_part(&part, report);
    }
    let hashes_file = &place.settings.hashes_file.value;
    let of_output = || {
        let mut found: Vec<PathBuf> = directories(&place.settings.output_dir.value)
            .iter()
            .flat_map(|machine| parts_in(machine, &[".link.part", ".old.part"]))
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

fn remove_part(part: &Path, report: &mut Report) {
    report.attempt(REMOVE, part.display(), || crate::files::remove(part));
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
