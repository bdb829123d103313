//! The freshness gate: every captured file is of this build, or unchanged output of the same variant. Also waits for
//! files that are not readable yet. Blocking.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::event::GateVerdict;
use crate::fs::stamp::Stamp;
use crate::settings::GateChoice;
use crate::state::records::{Records, RecordsError};
use crate::steps::context::StepContext;
use crate::steps::deploy_snapshot::DeploySnapshot;
use crate::steps::errors;
use crate::steps::freshness;
use crate::steps::freshness::{Freshness, FreshnessQuestion};
use crate::steps::gates::{emit, is_skipped, refuse, warn_skipped};
use crate::steps::result::StepResult;
use crate::store::Captured;
use crate::store::copy;
use crate::store::copy::CopyError;

/// How long a file may be unreadable after the build: for some seconds after ISAR has written an image, it belongs to
/// root with mode 0600.
const READABLE_WITHIN: Duration = Duration::from_secs(10);

/// Between two attempts to open a file.
const RETRY: Duration = Duration::from_millis(100);

/// A file of which the freshness is in question.
pub(in crate::steps) struct JudgedFile {
    pub(in crate::steps) unique_name: String,
    pub(in crate::steps) deploy_name: String,
    /// The stamp with which it was captured.
    pub(in crate::steps) stamp: Stamp,
    /// Its hash, where it is known yet.
    pub(in crate::steps) sha256: Option<[u8; 32]>,
}

impl From<&Captured> for JudgedFile {
    fn from(captured: &Captured) -> JudgedFile {
        JudgedFile {
            unique_name: captured.unique_name.clone(),
            deploy_name: captured.deploy_name.clone(),
            stamp: captured.source,
            sha256: Some(captured.sha256),
        }
    }
}

/// The evidence for the gate.
pub(in crate::steps) struct FreshnessEvidence<'a> {
    pub(in crate::steps) records: &'a Records,
    /// The directory that was built in.
    pub(in crate::steps) build_dir: &'a Path,
    /// The deployed files before the build.
    pub(in crate::steps) snapshot: Option<&'a DeploySnapshot>,
}

/// Refuses files that are not fresh.
pub(in crate::steps) fn check(
    cx: &StepContext,
    evidence: &FreshnessEvidence<'_>,
    files: &[JudgedFile],
) -> Result<(), StepResult> {
    let Some(snapshot) = evidence.snapshot else {
        let why = "internal fault: no deploy snapshot was taken before the build";
        return Err(StepResult::failed(why));
    };
    if is_skipped(cx, GateChoice::Freshness) {
        warn_skipped(cx, GateChoice::Freshness);
        return Ok(());
    }
    let (records, key) = (evidence.records, &cx.variant.key);
    let of_records = |error: RecordsError| StepResult::error(&error, error.hint());
    let builders = records
        .builders_in(evidence.build_dir)
        .map_err(of_records)?;
    let alone = builders.iter().all(|builder| builder == key);
    let mut new = 0;
    let mut unchanged = Vec::new();
    let mut refusals = Vec::new();
    for file in files {
        let last = records
            .last_registered(&file.unique_name)
            .map_err(of_records)?;
        let question = FreshnessQuestion {
            stamp: &file.stamp,
            sha256: file.sha256.as_ref(),
            variant: key,
            last: last.as_ref(),
            alone,
        };
        let freshness = freshness::judge(snapshot, &question);
        match freshness.refusal() {
            Some(why) => refusals.push(format!("{} is {why}", file.deploy_name)),
            None if freshness == Freshness::New => new += 1,
            None => unchanged.push(file.deploy_name.as_str()),
        }
    }
    if !refusals.is_empty() {
        let hint = format!(
            "run it again: its build directory is cleaned first: isar-build-all --variant {key}"
        );
        let why = refusals.join("; ");
        return Err(refuse(cx, GateChoice::Freshness, why, Some(hint)));
    }
    let mut why = format!("{new} written by this build");
    if !unchanged.is_empty() {
        why += &format!(
            ", unchanged since an earlier good build of {key}: {}",
            unchanged.join(", ")
        );
    }
    emit(cx, GateChoice::Freshness, GateVerdict::Passed, why);
    Ok(())
}

/// The step's result for a failed copy: a source that is not a file, or that something still writes, is refused.
pub(in crate::steps) fn of_copy(cx: &StepContext, error: &CopyError) -> StepResult {
    let gate = match error {
        CopyError::NotAFile { .. } => GateChoice::Shape,
        CopyError::Changed { .. } => GateChoice::Freshness,
        CopyError::Stopped(_) | CopyError::Path(_) => return errors::of_copy(error),
    };
    refuse(cx, gate, error.to_string(), error.hint())
}

/// Waits for a file that is not readable yet.
pub(in crate::steps) fn wait_until_readable(
    cx: &StepContext,
    path: &Path,
) -> Result<(), StepResult> {
    let begin = Instant::now();
    let killed = cx.killed();
    loop {
        let error = match copy::readable(path) {
            Ok(()) => return Ok(()),
            Err(CopyError::Path(error))
                if error.source.kind() == io::ErrorKind::PermissionDenied =>
            {
                error
            }
            Err(error) => return Err(of_copy(cx, &error)),
        };
        if killed() {
            return Err(StepResult::cancelled());
        }
        if begin.elapsed() > READABLE_WITHIN {
            let why = format!(
                "{error}, also {} s after the build: it is not complete, or not meant for you",
                READABLE_WITHIN.as_secs()
            );
            let hint = format!("see who owns and writes it: ls -l {}", path.display());
            return Err(refuse(cx, GateChoice::Freshness, why, Some(hint)));
        }
        std::thread::sleep(RETRY);
    }
}
