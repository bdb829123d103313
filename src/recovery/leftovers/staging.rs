//! Captures of dead runs, which no run will register.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fs::PathError;
use crate::recovery::RecoveryPlace;
use crate::recovery::leftovers::directories;
use crate::recovery::report::{REMOVE, RecoveryReport};
use crate::store::STAGING;

/// Removes the captures of a dead run in the store itself.
pub(in crate::recovery) fn in_store(run: &str, staging: &[PathBuf], report: &mut RecoveryReport) {
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

/// Removes the captures of dead runs beside the output entries. A run that this state directory does not know may be
/// a live run of another checkout; its captures stay.
pub(super) fn remove(place: &RecoveryPlace<'_>, runs: &[String], report: &mut RecoveryReport) {
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
            // Fails unless the directory is empty.
            let _ = fs::remove_dir(&all);
        }
    }
}
