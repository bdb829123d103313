//! The gates that a capture asks: is each file a file (`shape`), complete, and of this build
//! (`freshness`). What a gate refuses is said in an event of its own and as the step's outcome.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{StepContext, StepResult, fail, killed};
use crate::model::event::Verdict;
use crate::settings::Gate;
use crate::state::records::Records;
use crate::steps::freshness::Freshness;
use crate::steps::gates::{emit, skipped, warn_skipped};
use crate::store::Captured;
use crate::store::copy::{self, CopyError, Stamp};

/// How long a file may be unreadable after the build has ended: an image is root's with mode 0600 for
/// some seconds after it was written.
const READABLE_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// The gate has refused.
pub(in crate::steps) fn refuse(
    ctx: &StepContext,
    gate: Gate,
    why: String,
    hint: Option<String>,
) -> StepResult {
    emit(ctx, gate, Verdict::Refused, why.clone());
    let mut refused = StepResult::refused(why);
    refused.hint = hint;
    refused
}

/// A failed copy; what is no file, or is still written, is refused.
pub(super) fn of_copy(ctx: &StepContext, error: &CopyError) -> StepResult {
    let gate = match error {
        CopyError::NotAFile { .. } => Gate::Shape,
        CopyError::Changed { .. } => Gate::Freshness,
        CopyError::Stopped(_) | CopyError::Path(_) => return super::of_copy(error),
    };
    refuse(ctx, gate, error.to_string(), error.hint())
}

/// Waits for a file that may not be read yet. Blocks.
pub(super) fn wait_until_readable(ctx: &StepContext, path: &Path) -> Result<(), StepResult> {
    let begin = Instant::now();
    let stopped = killed(ctx);
    loop {
        let error = match copy::readable(path) {
            Ok(()) => return Ok(()),
            Err(CopyError::Path(error))
                if error.source.kind() == io::ErrorKind::PermissionDenied =>
            {
                error
            }
            Err(error) => return Err(of_copy(ctx, &error)),
        };
        if stopped() {
            return Err(StepResult::cancelled());
        }
        if begin.elapsed() > READABLE_WITHIN {
            let why = format!(
                "{error}, also {} s after the build: it is not complete, or not meant for you",
                READABLE_WITHIN.as_secs()
            );
            let hint = format!(
                "see whose it is and who writes it: ls -l {}",
                path.display()
            );
            return Err(refuse(ctx, Gate::Freshness, why, Some(hint)));
        }
        std::thread::sleep(PAUSE);
    }
}

/// A file whose freshness is asked.
pub(super) struct Judged {
    pub(super) unique_name: String,
    pub(super) deploy_name: String,
    /// The state in which it was captured.
    pub(super) source: Stamp,
    /// Its hash, where it is known yet.
    pub(super) sha256: Option<[u8; 32]>,
}

impl From<&Captured> for Judged {
    fn from(captured: &Captured) -> Judged {
        Judged {
            unique_name: captured.unique_name.clone(),
            deploy_name: captured.deploy_name.clone(),
            source: captured.source,
            sha256: Some(captured.sha256),
        }
    }
}

/// Whether every captured file is of this build, or unchanged output of the same variant.
pub(super) fn freshness(
    ctx: &StepContext,
    records: &Records,
    build_dir: &Path,
    captured: &[Judged],
) -> Result<(), StepResult> {
    let key = &ctx.variant.key;
    let of_records = |error: crate::state::records::RecordsError| fail(&error, error.hint());
    let Some(before) = ctx.handover.take_before(key) else {
        let why = "internal fault: nobody looked at the deploy directory before the build";
        return Err(StepResult::failed(why));
    };
    if skipped(ctx, Gate::Freshness) {
        warn_skipped(ctx, Gate::Freshness);
        return Ok(());
    }
    let builders = records.builders_in(build_dir).map_err(of_records)?;
    let alone = builders.iter().all(|builder| builder == key);
    let mut new = 0;
    let mut unchanged = Vec::new();
    let mut refusals = Vec::new();
    for one in captured {
        let last = records
            .last_registered(&one.unique_name)
            .map_err(of_records)?;
        let freshness = before.judge(&one.source, one.sha256.as_ref(), key, last.as_ref(), alone);
        match freshness.refusal() {
            Some(why) => refusals.push(format!("{} is {why}", one.deploy_name)),
            None if freshness == Freshness::New => new += 1,
            None => unchanged.push(one.deploy_name.as_str()),
        }
    }
    if !refusals.is_empty() {
        let hint = format!(
            "run it again: its build directory is cleaned first: isar-build-all --variant {key}"
        );
        return Err(refuse(
            ctx,
            Gate::Freshness,
            refusals.join("; "),
            Some(hint),
        ));
    }
    let mut why = format!("{new} written by this build");
    if !unchanged.is_empty() {
        why += &format!(
            ", unchanged since an earlier good build of {key}: {}",
            unchanged.join(", ")
        );
    }
    emit(ctx, Gate::Freshness, Verdict::Passed, why);
    Ok(())
}
