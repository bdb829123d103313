//! Gates: the checks between a build and its registration, and how each reports its verdict.
//!
//! Every gate emits what it found as an event. All faults of a variant are reported at once. A gate in `skip-gates` is
//! left open: what it would refuse is registered, with a warning.

pub(in crate::steps) mod freshness_gate;
pub(in crate::steps) mod inspection;
pub(in crate::steps) mod uniqueness;

use crate::event::{EventKind, GateVerdict};
use crate::settings::GateChoice;
use crate::steps::context::StepContext;
use crate::steps::result::StepResult;

/// Whether the settings leave a gate open.
pub(super) fn is_skipped(cx: &StepContext, gate: GateChoice) -> bool {
    cx.settings.skip_gates.value.contains(&gate)
}

/// Warns that a gate is left open.
pub(super) fn warn_skipped(cx: &StepContext, gate: GateChoice) {
    cx.warn(
        format!(
            "the gate `{}` is left open (skip-gates): {} is registered without its proof",
            gate.as_str(),
            cx.variant.key
        ),
        Some("remove it from skip-gates; isar-build-all config shows where that is set".to_owned()),
    );
}

/// Emits the verdict of a gate.
pub(super) fn emit(cx: &StepContext, gate: GateChoice, verdict: GateVerdict, why: String) {
    cx.events.emit(EventKind::Gate {
        node: cx.node.clone(),
        name: gate.as_str().to_owned(),
        verdict,
        why,
    });
}

/// Emits a refusal and returns the step's result.
pub(super) fn refuse(
    cx: &StepContext,
    gate: GateChoice,
    why: String,
    hint: Option<String>,
) -> StepResult {
    emit(cx, gate, GateVerdict::Refused, why.clone());
    StepResult::refused(why).hint_if(hint)
}
