//! Probes kas itself, for the executor that runs inside a kas-isar image.

use std::path::PathBuf;

use crate::settings::Settings;
use crate::tools::error::ToolError;
use crate::tools::kas_container::program_and_version;
use crate::tools::probe::Prober;
use crate::tools::version::Version;

/// A kas that works.
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
