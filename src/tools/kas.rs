//! kas itself, for the executor that runs inside a kas-isar image.
//!
//! Knows nothing of containers.

use std::path::PathBuf;

use super::error::ToolError;
use super::kas_container::program_and_version;
use super::probe::Prober;
use super::version::Version;
use crate::settings::Settings;

/// A kas that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kas {
    /// Its absolute path.
    pub program: PathBuf,
    /// Its version.
    pub version: Version,
}

impl Kas {
    pub(crate) fn probe(settings: &Settings, prober: Prober<'_>) -> Result<Self, ToolError> {
        let (program, version) = program_and_version(&settings.kas.value, "kas", prober)?;
        Ok(Self { program, version })
    }
}
