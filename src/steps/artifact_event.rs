//! The event of an artifact that was captured, registered or made.

use std::path::Path;

use crate::base::{hex, nix32};
use crate::event::{ArtifactOrigin, EventKind};
use crate::steps::context::StepContext;
use crate::store::Captured;

/// The event of a captured artifact, with its store path once it is registered.
pub(super) fn artifact_event(
    cx: &StepContext,
    captured: &Captured,
    store_path: Option<&Path>,
    how: ArtifactOrigin,
) -> EventKind {
    EventKind::Artifact {
        node: cx.node.clone(),
        variant: cx.variant.key.to_string(),
        artifact_type: captured.kind.clone(),
        name: captured.unique_name.clone(),
        bytes: captured.bytes,
        sha256: hex::encode(&captured.sha256),
        nix32: nix32::encode(&captured.sha256),
        store_path: store_path.map(|path| path.display().to_string()),
        how,
    }
}
