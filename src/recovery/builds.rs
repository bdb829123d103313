//! Ends the builds of dead runs: their processes and containers.
//!
//! The journal has the commands that end a build, so the engine need not be found first. Builds that are not in the
//! journal, as after its loss, are found by the label that every container has. The number of a process group is not
//! used: another process may have it by now.

use std::time::{Duration, SystemTime};

use crate::exec::{UndoLimits, Undone, quiet};
use crate::recovery::RecoveryPlace;
use crate::recovery::report::{REMOVE, RecoveryReport, Verb};
use crate::state::journal::{OpenBuild, Unfinished};
use crate::tools::container::STATE_LABEL;

/// Time after a death in which an engine may still create a container for the dead run.
const FRESH: Duration = Duration::from_secs(15);

/// Time for which a container must be absent in that case.
const SETTLE: Duration = Duration::from_millis(1500);

/// Limit for one query of an engine. Recovery is not urgent, and an engine on a busy machine is slow.
const ASK: Duration = Duration::from_secs(10);

/// Limit for ending one build.
const TOTAL: Duration = Duration::from_secs(45);

const END: Verb = Verb("ended", "would end");

/// Ends the builds that have a start and no end in the journal. Builds that cannot be ended stay in `runs`.
pub(super) fn end_journalled(
    place: &RecoveryPlace<'_>,
    runs: &mut [Unfinished],
    report: &mut RecoveryReport,
) {
    if runs.iter().all(|run| run.builds.is_empty()) {
        return;
    }
    let limits = limits(place);
    for run in runs {
        let builds = std::mem::take(&mut run.builds);
        let ended = block_on(look_or_end(&builds, limits, place.dry_run));
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => {
                report.failed(error, None);
                run.builds = builds;
                continue;
            }
        };
        for (build, (was_there, undone)) in builds.into_iter().zip(ended) {
            let what = format!(
                "the build of {} of run {} ({})",
                build.variant, run.run, build.name
            );
            if !undone.gone {
                let notes = undone.notes.join("; ");
                report.failed(
                    format!("{what} could not be ended: {notes}"),
                    command(&build.undo.stop),
                );
                run.builds.push(build);
            } else if was_there || undone.removed {
                report.done(END, what);
            }
        }
    }
}

/// Removes the containers that carry this state directory's label.
pub(super) fn end_labelled(place: &RecoveryPlace<'_>, report: &mut RecoveryReport) {
    let Some(engine) = place.engine else { return };
    let label = format!("{STATE_LABEL}={}", place.state.root().display());
    let names = match engine.containers(place.environment, &label) {
        Ok(names) => names,
        Err(error) => return report.failed(error, None),
    };
    for name in names {
        let undo = engine.undo(&name);
        let what = format!("container {name}");
        if place.dry_run {
            report.done(REMOVE, what);
            continue;
        }
        let hint = command(&undo.stop);
        let limits = UndoLimits {
            settle: Duration::ZERO,
            ask: ASK,
            total: TOTAL,
        };
        match block_on(undo.run(limits)) {
            Ok(undone) if undone.gone => report.done(REMOVE, what),
            Ok(undone) => {
                let notes = undone.notes.join("; ");
                report.failed(format!("{what} could not be removed: {notes}"), hint);
            }
            Err(error) => report.failed(error, hint),
        }
    }
}

fn command(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(" "))
}

/// A run that has just died may have requested a container that does not exist yet.
fn limits(place: &RecoveryPlace<'_>) -> UndoLimits {
    let age = std::fs::metadata(place.state.journal())
        .and_then(|journal| journal.modified())
        .ok()
        .and_then(|written| SystemTime::now().duration_since(written).ok());
    UndoLimits {
        settle: match age {
            Some(age) if age > FRESH => Duration::ZERO,
            _ => SETTLE,
        },
        ask: ASK,
        total: TOTAL,
    }
}

/// Ends all builds at once. Returns for each whether a part of it existed, and the result.
async fn look_or_end(
    builds: &[OpenBuild],
    limits: UndoLimits,
    dry_run: bool,
) -> Vec<(bool, Undone)> {
    let mut tasks = Vec::with_capacity(builds.len());
    for build in builds {
        let undo = build.undo.clone();
        tasks.push(tokio::spawn(async move {
            let family = undo.family_lives() || !undo.forgotten().is_empty();
            if dry_run {
                let exists = !undo.exists.is_empty()
                    && quiet(&undo.exists, Duration::from_secs(5)).await.0 == Some(0);
                let untouched = Undone {
                    gone: true,
                    ..Undone::default()
                };
                return (family || exists, untouched);
            }
            (family, undo.run(limits).await)
        }));
    }
    let mut ended = Vec::with_capacity(tasks.len());
    for task in tasks {
        ended.push(task.await.unwrap_or_else(|error| {
            let failed = Undone {
                notes: vec![error.to_string()],
                ..Undone::default()
            };
            (true, failed)
        }));
    }
    ended
}

fn block_on<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(work))
}
