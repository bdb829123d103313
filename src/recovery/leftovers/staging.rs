//! Captures that nobody registers any more.

use std::fs;
use std::path::{Path, PathBuf};

use super::directories;
use crate::files::PathError;
use crate::recovery::Place;
use crate::recovery::report::{REMOVE, Report};
use crate::store::STAGING;

/// Captures of a run that is gone which lie in the store itself.
pub(in crate::recovery) fn in_store(run: &str, staging: &[PathBuf], report: &mut Report) {
    let own = format!("{STAGING}{run}");
    let mut dirs: Vec<&Path> = staging
        .iter()
        .flat_map(|dir| dir.ancestors())
        .filter(|dir| dir.file_name().is_some_and(|name| *name == *own) && dir.exists())
        .collect();
    dirs.dedup();
    for dir in dirs {
        report.attempt(REMOVE, format!("captures in {}", dir.display()), || {
            fs::remove_dir_all(dir).map_err(PathError::on("remove", dir))
        });
    }
}

/// Captures of runs that are gone. Those of a run that this state directory does not know may be a
/// living one's of another.
pub(super) fn remove(place: &Place<'_>, runs: &[String], report: &mut Report) {
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
