//! The gate Content: an artifact type marked `unique` has no equal in another variant. Knows nothing of
//! what the files are.
//!
//! What there is to compare with are the entries of the hashes file: all that is registered, by whom
//! and in which run ever. The entry of a variant that is gone counts until it is removed.

use super::gates::{emit, skipped, warn_skipped};
use super::{StepContext, StepResult};
use crate::model::event::Verdict;
use crate::model::hashes;
use crate::settings::Gate;
use crate::state::records::Records;
use crate::store::Captured;

/// What was found: `Ok` with the sentences to tell, or the refusal.
pub(super) type Compared = Result<Vec<String>, StepResult>;

/// Compares captures with the entries of the hashes file. A new file has none; a text that is no such
/// file is refused by whoever edits it.
pub(super) fn compare(
    ctx: &StepContext,
    records: &Records,
    captured: &[Captured],
    text: &str,
) -> Compared {
    if skipped(ctx, Gate::Content) {
        return Ok(Vec::new());
    }
    let file = hashes::parse(text).ok();
    let artifact = |name: &str| {
        let mut artifacts = ctx.variant.artifacts.iter();
        artifacts.find(|artifact| artifact.unique_name == name)
    };
    let mut shared = Vec::new();
    let mut refusals = Vec::new();
    for one in captured {
        let twins: Vec<String> = file
            .iter()
            .flat_map(hashes::HashesFile::entries)
            .filter(|(name, sha256)| *sha256 == one.sha256 && artifact(name).is_none())
            .map(|(name, _)| whose(records, name))
            .collect();
        let name = &one.unique_name;
        let unique = artifact(name).is_some_and(|artifact| artifact.unique);
        match (unique, twins.is_empty()) {
            (true, true) => shared.push(format!("{name}: like no other")),
            (true, false) => refusals.push(format!(
                "{name} of {} is the same file as {}",
                ctx.variant.key,
                twins.join(", ")
            )),
            (false, true) => {}
            (false, false) => shared.push(format!("{name}: shared, same as {}", twins.join(", "))),
        }
    }
    if refusals.is_empty() {
        return Ok(shared);
    }
    for refusal in &refusals {
        emit(ctx, Gate::Content, Verdict::Refused, refusal.clone());
    }
    let hint = format!(
        "see whether both kas chains are what you mean (isar-build-all plan); if the other variant \
         is gone, remove its entry from {}",
        ctx.settings.hashes_file.value.display()
    );
    Err(StepResult::refused(refusals.join("; ")).hint(hint))
}

/// Tells what was found.
pub(super) fn tell(ctx: &StepContext, found: Vec<String>) {
    if skipped(ctx, Gate::Content) {
        warn_skipped(ctx, Gate::Content);
    }
    for why in found {
        emit(ctx, Gate::Content, Verdict::Passed, why);
    }
}

/// `name (machine/id)`, where the records know it.
fn whose(records: &Records, name: &str) -> String {
    match records.last_registered(name) {
        Ok(Some(record)) => format!("{name} ({})", record.variant),
        _ => name.to_owned(),
    }
}
