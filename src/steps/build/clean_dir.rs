//! The clean build directory: keeps out of an image what another variant or a failed build left in its build directory.
//!
//! ISAR's do_rootfs_install empties its root directory before it installs. Where the result is restored from shared
//! state instead, it is unpacked over whatever is there. After another variant, or a build that was stopped half-way,
//! that makes an image with foreign files, exit code 0 and a clean list of packages. So such a directory is cleaned
//! before the next build, and if that fails, nothing is built in it.
//!
//! A variant that returns to an earlier state does the same to itself: the root directory of the state in between is
//! still there. BitBake reports that it restores one; such a build is repeated in a clean directory.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bitbake::silence::History;
use crate::matrix::VariantKey;
use crate::settings::GateChoice;
use crate::state::records::deploys::LastBuild;
use crate::steps::build::kas_run::KasRun;
use crate::steps::build::services::BuildServices;
use crate::steps::build::{kas_run, log_path};
use crate::steps::context::StepContext;
use crate::steps::gates;
use crate::steps::result::StepResult;

/// The reason to clean a directory that is fit to build in.
const REBUILD: &str = "--rebuild asks for it";

const DANGER: &str = "what was left there could get into the image";

/// The leftovers in a build directory when the build starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// Nothing that could get into the image.
    None,
    /// Files of the variant's own last good build.
    OwnBuild,
}

/// Cleans the variant's build directory if its content could get into the image, or on request.
///
/// # Errors
/// The step's result where the directory cannot be cleaned.
pub(super) async fn prepare(
    cx: &StepContext,
    services: &BuildServices,
    build_dir: &Path,
) -> Result<Leftovers, StepResult> {
    let (records, dir) = (cx.services.registry.records.clone(), build_dir.to_owned());
    let look = move || {
        let last = records
            .last_build_in(&dir)
            .map_err(|error| StepResult::error(&error, error.hint()))?;
        Ok::<_, StepResult>((last, leftovers(&dir)))
    };
    let (last, left) = cx.preparing(look).await??;
    if left.is_empty() {
        return Ok(Leftovers::None);
    }
    if services.rebuild.contains(&cx.variant.key) {
        clean(cx, services, build_dir, REBUILD).await?;
        return Ok(Leftovers::None);
    }
    match danger(last.as_ref(), &cx.variant.key) {
        None => Ok(Leftovers::OwnBuild),
        Some(why) if gates::is_skipped(cx, GateChoice::Contamination) => {
            let message = format!(
                "{} is not cleaned before the build: {why}",
                build_dir.display()
            );
            let hint = "what was left there can get into the image; remove `contamination` from skip-gates";
            cx.warn(message, Some(hint.to_owned()));
            Ok(Leftovers::None)
        }
        Some(why) => {
            clean(cx, services, build_dir, &why).await?;
            Ok(Leftovers::None)
        }
    }
}

/// Builds the variant; a second time, in a clean directory, where a root directory was restored over an old one.
pub(super) async fn build(
    cx: &StepContext,
    services: &BuildServices,
    leftovers: Leftovers,
    history: History,
) -> KasRun {
    let built = kas_run::build(cx, services, history.clone()).await;
    let unpacked_over_own = built.restored_root
        && leftovers == Leftovers::OwnBuild
        && !gates::is_skipped(cx, GateChoice::Contamination);
    if !unpacked_over_own || !built.result.is_good() {
        return built;
    }
    let log = log_path(&cx.settings, &cx.run, &cx.variant.key);
    let keep_log = move || fs::rename(&log, log.with_extension("first.log"));
    // Without its log, only the first build is harder to explain.
    let _ = cx.blocking(keep_log).await;
    let why = "a root directory was restored over that of an earlier build";
    match clean(cx, services, &cx.dirs().build, why).await {
        Ok(()) => kas_run::build(cx, services, history).await,
        Err(result) => KasRun { result, ..built },
    }
}

async fn clean(
    cx: &StepContext,
    services: &BuildServices,
    build_dir: &Path,
    why: &str,
) -> Result<(), StepResult> {
    cx.warn(
        format!("{} is cleaned before the build: {why}", build_dir.display()),
        Some(DANGER.to_owned()).filter(|_| why != REBUILD),
    );
    let mut cleaned = kas_run::clean(cx, services).await;
    if !cleaned.is_good() {
        if let Some(reason) = &mut cleaned.why {
            *reason = format!("{} was not cleaned ({why}): {reason}", build_dir.display());
        }
        return Err(cleaned);
    }
    let dir = build_dir.to_owned();
    match cx.blocking(move || leftovers(&dir)).await?.first() {
        None => Ok(()),
        Some(path) => Err(gates::refuse(
            cx,
            GateChoice::Contamination,
            format!("{why}, and cleaning left {}", path.display()),
            Some(format!("sudo rm -rf --one-file-system {}", path.display())),
        )),
    }
}

/// BitBake's temporary directories in a build directory, `tmp*`: they hold root directories and deployed files.
fn leftovers(build_dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(build_dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("tmp"))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Why a directory with leftovers is not fit for a build of `key`; absent where it is.
fn danger(last: Option<&LastBuild>, key: &VariantKey) -> Option<String> {
    let Some(last) = last else {
        return Some("no record says what was built in it".to_owned());
    };
    let LastBuild { variant, outcome } = last;
    match outcome.as_deref() {
        _ if last.succeeded() && variant == key => None,
        _ if variant != key => Some(format!("the last build in it was {variant}'s")),
        None => Some("the last build in it was killed".to_owned()),
        Some("refused") => Some("what the last build in it left was refused".to_owned()),
        Some("cancelled") => Some("the last build in it was stopped".to_owned()),
        Some(_) => Some("the last build in it failed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::outcome::Outcome;

    fn key(id: &str) -> VariantKey {
        VariantKey {
            machine: "qemuamd64".to_owned(),
            id: id.to_owned(),
        }
    }

    #[test]
    fn only_the_variants_own_good_build_may_be_built_upon() {
        let last = |id: &str, outcome: Option<Outcome>| LastBuild {
            variant: key(id),
            outcome: outcome.map(|outcome| outcome.as_str().to_owned()),
        };
        let say = |last: Option<LastBuild>| {
            danger(last.as_ref(), &key("one")).unwrap_or_else(|| "-".to_owned())
        };
        let said = [
            say(Some(last("one", Some(Outcome::Succeeded)))),
            say(Some(last("one", Some(Outcome::Failed)))),
            say(Some(last("one", Some(Outcome::Cancelled)))),
            say(Some(last("one", Some(Outcome::Refused)))),
            say(Some(last("one", None))),
            say(Some(last("two", Some(Outcome::Succeeded)))),
            say(Some(last("two", Some(Outcome::Failed)))),
            say(None),
        ];
        insta::assert_snapshot!(said.join("\n"), @"
        -
        the last build in it failed
        the last build in it was stopped
        what the last build in it left was refused
        the last build in it was killed
        the last build in it was qemuamd64/two's
        the last build in it was qemuamd64/two's
        no record says what was built in it
        ");
    }

    #[test]
    fn leftovers_are_the_directories_that_bitbake_made() {
        let dir = tempfile::tempdir().unwrap();
        assert!(leftovers(&dir.path().join("none")).is_empty());
        for name in ["tmp", "tmp-debian", "conf", "cache"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }

        let found = leftovers(dir.path());

        assert_eq!(
            found,
            ["tmp", "tmp-debian"].map(|name| dir.path().join(name))
        );
    }
}
