//! Capture policy: which files of a deploy directory belong to a variant, and how many are captured at once.

use std::path::PathBuf;
use std::sync::Arc;

use crate::state::records::Records;
use crate::steps::capture::slots::CaptureSlots;

/// The policy that the captures of a run share.
#[derive(Debug, Clone)]
pub struct CapturePolicy {
    /// The proof that a deployed file belongs to the variant.
    pub provenance: Provenance,
    /// The build directory to capture from, instead of the variant's own (`--build-dir`).
    pub build_dir: Option<PathBuf>,
    /// The capture slots.
    pub slots: CaptureSlots,
}

impl CapturePolicy {
    /// A policy for the variants' own build directories, with four slots.
    #[must_use]
    pub fn new(provenance: Provenance) -> CapturePolicy {
        CapturePolicy {
            provenance,
            build_dir: None,
            slots: CaptureSlots::default(),
        }
    }
}

/// How a deployed file is known to belong to the variant.
#[derive(Debug, Clone)]
pub enum Provenance {
    /// This run has just built it; the deploy snapshot has the files from before.
    Built(Arc<Records>),
    /// The records have it as the variant's (`--rename-existing`).
    Recorded(Arc<Records>),
    /// The user vouches for it (`--adopt`).
    Adopted,
}

impl Provenance {
    /// The records, where there is anything to compare with them.
    pub(super) fn records(&self) -> Option<&Arc<Records>> {
        match self {
            Provenance::Built(records) | Provenance::Recorded(records) => Some(records),
            Provenance::Adopted => None,
        }
    }
}
