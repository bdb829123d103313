//! The uniqueness gate (`content` in skip-gates): no other variant has the same file as an artifact of a type marked
//! `unique`. Compares hashes, not files.
//!
//! The hashes file has an entry for everything that is registered, by any run. The entry of a variant that no longer
//! exists counts until it is removed.

use crate::event::GateVerdict;
use crate::hashes_file;
use crate::settings::GateChoice;
use crate::state::records::Records;
use crate::steps::context::StepContext;
use crate::steps::gates::{emit, is_skipped, warn_skipped};
use crate::steps::result::StepResult;
use crate::store::Captured;

/// Compares captured files with `text`, the hashes file. Returns what [`report`] emits once the variant is registered.
///
/// A new hashes file has no entries. A text that is not a hashes file has none here either: the registration refuses it.
///
/// # Errors
/// The refusal.
pub(in crate::steps) fn compare(
    cx: &StepContext,
    records: &Records,
    captured: &[Captured],
    text: &str,
) -> Result<Vec<String>, StepResult> {
    if is_skipped(cx, GateChoice::Content) {
        return Ok(Vec::new());
    }
    let file = hashes_file::parse(text).ok();
    let artifact = |name: &str| {
        let mut artifacts = cx.variant.artifacts.iter();
        artifacts.find(|artifact| artifact.unique_name == name)
    };
    let mut passed = Vec::new();
    let mut refusals = Vec::new();
    for one in captured {
        let twins: Vec<String> = file
            .iter()
            .flat_map(hashes_file::ParsedHashes::entries)
            .filter(|(name, sha256)| *sha256 == one.sha256 && artifact(name).is_none())
            .map(|(name, _)| with_owner(records, name))
            .collect();
        let name = &one.unique_name;
        let unique = artifact(name).is_some_and(|artifact| artifact.unique);
        match (unique, twins.is_empty()) {
            (true, true) => passed.push(format!("{name}: unique")),
            (true, false) => refusals.push(format!(
                "{name} of {} is the same file as {}",
                cx.variant.key,
                twins.join(", ")
            )),
            (false, true) => {}
            (false, false) => passed.push(format!("{name}: shared, same as {}", twins.join(", "))),
        }
    }
    if refusals.is_empty() {
        return Ok(passed);
    }
    for refusal in &refusals {
        emit(
            cx,
            GateChoice::Content,
            GateVerdict::Refused,
            refusal.clone(),
        );
    }
    let hint = format!(
        "compare the kas chains of both (isar-build-all plan); if the other variant no longer exists, \
         remove its entry from {}",
        cx.settings.hashes_file.value.display()
    );
    Err(StepResult::refused(refusals.join("; ")).hint(hint))
}

/// Emits what [`compare`] found.
pub(in crate::steps) fn report(cx: &StepContext, found: Vec<String>) {
    if is_skipped(cx, GateChoice::Content) {
        warn_skipped(cx, GateChoice::Content);
    }
    for why in found {
        emit(cx, GateChoice::Content, GateVerdict::Passed, why);
    }
}

/// `name (machine/id)`; without the variant where the records do not know it.
fn with_owner(records: &Records, name: &str) -> String {
    match records.last_registered(name) {
        Ok(Some(record)) => format!("{name} ({})", record.variant),
        _ => name.to_owned(),
    }
}
