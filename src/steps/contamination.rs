//! Keeps out of an image what another variant or a failed build left in its build directory.
//!
//! ISAR's do_rootfs_install empties its root directory before it installs, but where the result is
//! restored from shared state instead, it is unpacked over whatever lies there. After another variant,
//! or a build that was broken off in the middle, that is an image with foreign files, exit code 0 and a
//! clean list of packages. So such a directory is cleaned before the next build, and where that cannot
//! be, nothing is built in it. A variant that has become again what it was before does the same to
//! itself: the root directory that it had in between lies there still. That shows in what BitBake says
//! that it restores; such a build is made again in a clean directory. Knows nothing of what was wrong
//! with the earlier build.

use std::fs;
use std::path::{Path, PathBuf};

use super::build::{self, BuildTools};
use super::capture::gate;
use super::gates;
use super::{StepContext, StepResult};
use crate::model::matrix::VariantKey;
use crate::settings::Gate;
use crate::state::records::Records;
use crate::state::records::deploys::LastBuild;

/// Why a directory is cleaned that is fit to be built upon.
const REBUILD: &str = "--rebuild asks for it";

const DANGER: &str = "what was left there could get into the image";

/// Whether there are leavings of the variant's own last good build in its build directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// It is empty or clean.
    Nothing,
    /// There are.
    Own,
}

/// Cleans the variant's build directory where what lies in it could get into the image. Returns what
/// lies there now. `rebuild` cleans it whatever lies there.
///
/// # Errors
/// How the build ends where the directory cannot be cleaned.
pub async fn keep_out(
    ctx: &StepContext,
    tools: &BuildTools,
    build_dir: &Path,
    records: &Records,
    rebuild: bool,
) -> Result<Old, StepResult> {
    let last = records.last_build_in(build_dir).map_err(|error| {
        let mut failure = StepResult::failed(error.to_string());
        failure.hint = error.hint();
        failure
    })?;
    let left = leavings(build_dir);
    if left.is_empty() {
        return Ok(Old::Nothing);
    }
    if rebuild {
        clean(ctx, tools, build_dir, REBUILD).await?;
        return Ok(Old::Nothing);
    }
    match danger(last.as_ref(), &ctx.variant.key) {
        None => Ok(Old::Own),
        Some(why) if gates::skipped(ctx, Gate::Contamination) => {
            let message = format!(
                "{} is not cleaned before the build: {why}",
                build_dir.display()
            );
            let hint = "what was left there can get into the image; remove `contamination` from skip-gates";
            ctx.events
                .warn(Some(&ctx.node), message, Some(hint.to_owned()));
            Ok(Old::Nothing)
        }
        Some(why) => {
            clean(ctx, tools, build_dir, &why).await?;
            Ok(Old::Nothing)
        }
    }
}

/// Builds the variant; again, in a clean directory, where a root directory was restored over an old one.
pub async fn build(
    ctx: &StepContext,
    tools: &BuildTools,
    build_dir: &Path,
    old: Old,
) -> StepResult {
    let open = gates::skipped(ctx, Gate::Contamination);
    let built = build::build(ctx, tools).await;
    let unpacked_over_it = built.restored_root && old == Old::Own && !open;
    if !unpacked_over_it || !built.result.outcome.lets_descendants_run() {
        return built.result;
    }
    let log = build::log_path(&ctx.settings, &ctx.run, &ctx.variant.key);
    // Without its own log the first build is only less explained.
    let _ = fs::rename(&log, log.with_extension("first.log"));
    let why = "a root directory was restored over that of an earlier build";
    match clean(ctx, tools, build_dir, why).await {
        Ok(()) => build::build(ctx, tools).await.result,
        Err(result) => result,
    }
}

async fn clean(
    ctx: &StepContext,
    tools: &BuildTools,
    build_dir: &Path,
    why: &str,
) -> Result<(), StepResult> {
    ctx.events.warn(
        Some(&ctx.node),
        format!("{} is cleaned before the build: {why}", build_dir.display()),
        Some(DANGER.to_owned()).filter(|_| why != REBUILD),
    );
    let mut cleaned = build::clean(ctx, tools).await;
    if !cleaned.outcome.lets_descendants_run() {
        if let Some(reason) = &mut cleaned.why {
            *reason = format!("{} was not cleaned ({why}): {reason}", build_dir.display());
        }
        return Err(cleaned);
    }
    match leavings(build_dir).first() {
        None => Ok(()),
        Some(path) => Err(gate::refuse(
            ctx,
            Gate::Contamination,
            format!("{why}, and cleaning left {}", path.display()),
            Some(format!("sudo rm -rf --one-file-system {}", path.display())),
        )),
    }
}

/// The temporary directories of BitBake in a build directory, which hold root directories and deployed
/// files: `tmp` and whatever begins so.
fn leavings(build_dir: &Path) -> Vec<PathBuf> {
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

/// Why a directory in which something was built is not fit for a build of `key`; none where it is.
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
    use crate::model::outcome::Outcome;

    fn key(id: &str) -> VariantKey {
        VariantKey {
            machine: "qemuamd64".to_owned(),
            id: id.to_owned(),
        }
    }

    #[test]
    fn only_the_variants_own_good_build_is_built_upon() {
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
    fn what_bitbake_left_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(leavings(&dir.path().join("none")).is_empty());
        for name in ["tmp", "tmp-debian", "conf", "cache"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(
            leavings(dir.path()),
            ["tmp", "tmp-debian"].map(|name| dir.path().join(name))
        );
    }
}
