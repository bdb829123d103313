//! Prepares the directories of a variant for a run of kas.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::settings::VariantDirs;
use crate::steps::build::command::KasTask;
use crate::steps::context::StepContext;
use crate::steps::git_locks;
use crate::steps::result::StepResult;

/// Makes the directories that kas-container expects, removes a configuration that `kas menu` left, and, for a build,
/// the locks that killed git processes left in clones. Returns the build directory without symbolic links.
pub(super) async fn prepare(
    cx: &StepContext,
    dirs: &VariantDirs,
    task: KasTask,
) -> Result<PathBuf, StepResult> {
    let (cx, dirs) = (cx.clone(), dirs.clone());
    cx.clone()
        .preparing(move || {
            make(&dirs)?;
            if task == KasTask::Build {
                unlock_clones(&cx, &dirs);
            }
            Ok(fs::canonicalize(&dirs.build).unwrap_or(dirs.build))
        })
        .await?
}

fn make(dirs: &VariantDirs) -> Result<(), StepResult> {
    for dir in [
        &dirs.work,
        &dirs.build,
        &dirs.dl,
        &dirs.sstate,
        &dirs.repo_ref,
    ] {
        fs::create_dir_all(dir).map_err(|error| cannot("make", dir, &error))?;
    }
    // It would silently replace the repository of the kas files.
    let menu = dirs.work.join(".config.yaml");
    match fs::remove_file(&menu) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(cannot("remove", &menu, &error))
        }
        _ => Ok(()),
    }
}

fn unlock_clones(cx: &StepContext, dirs: &VariantDirs) {
    for lock in git_locks::stale(&dirs.work, &dirs.repo_ref) {
        // A stop leaves this work: a later run may have started in these clones by now.
        if cx.is_stopped() {
            return;
        }
        if fs::remove_file(&lock).is_ok() {
            let message = format!("removed {}: a killed git process left it", lock.display());
            cx.warn(message, None);
        }
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> StepResult {
    let failed = StepResult::failed(format!("cannot {what} {}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => failed.hint(format!(
            "see who owns it: ls -ld {}",
            path.parent().unwrap_or(path).display()
        )),
        io::ErrorKind::StorageFull => failed.hint("free some space on that file system: df -h"),
        _ => failed,
    }
}
