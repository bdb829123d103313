//! Steps that were interrupted in the middle of something that they had announced in the journal: each step recovers
//! its own.

use crate::recovery::{RecoveryLine, RecoveryPlace, RecoveryReport};
use crate::state::journal::Unfinished;
use crate::steps::step::InterruptedStep;

/// Recovers the open steps of a run, the last one first. Steps that cannot be recovered now stay open.
pub(super) fn recover(
    place: &RecoveryPlace<'_>,
    run: &mut Unfinished,
    report: &mut RecoveryReport,
) {
    let mut open = std::mem::take(&mut run.steps);
    let mut kept = Vec::new();
    while let Some(one) = open.pop() {
        let of_kind = |step: &&&_| is_of(**step, &one.step);
        let Some(step) = place.steps.iter().find(of_kind) else {
            let message = format!(
                "{}: this version has no step `{}`, which run {} left unfinished",
                one.variant, one.step, run.run
            );
            let hint = "use the version that started that run".to_owned();
            report.failed(message, Some(hint));
            kept.push(one);
            continue;
        };
        let left = InterruptedStep {
            run: &run.run,
            variant: &one.variant,
            payload: &one.payload,
            settings: place.settings,
            dry_run: place.dry_run,
        };
        match step.recover(&left) {
            Ok(line) => report.lines.extend(line.map(RecoveryLine::Done)),
            Err(failure) => {
                report.failed(failure.message, failure.hint);
                kept.push(one);
            }
        }
    }
    kept.reverse();
    run.steps = kept;
}

fn is_of(step: &dyn crate::steps::step::Step, kind: &str) -> bool {
    step.info().kind.as_str() == kind
}
