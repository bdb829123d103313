//! Probes kas-container: its path, its version, and its flag for the container's mode.

use std::path::PathBuf;

use crate::settings::{IsarMode, Settings};
use crate::tools::error::ToolError;
use crate::tools::probe::Prober;
use crate::tools::version::Version;

/// A kas-container that works and supports the mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KasContainer {
    /// Its absolute path.
    pub program: PathBuf,
    /// Its version.
    pub version: Version,
    /// `--isar-privileged`, `--isar-rootless` or `--isar`.
    pub mode_flag: &'static str,
}

/// The first version with `--isar-privileged` and `--isar-rootless`; it deprecates plain `--isar`.
const TWO_MODES: Version = Version::new(5, 4);

impl KasContainer {
    pub(crate) fn probe(settings: &Settings, prober: Prober<'_>) -> Result<Self, ToolError> {
        let (program, version) =
            program_and_version(&settings.kas_container.value, "kas-container", prober)?;
        Ok(Self {
            mode_flag: mode_flag(version, settings.isar_mode.value)?,
            program,
            version,
        })
    }

    /// Whether a second `--runtime-args` adds to the first one. In older versions it replaces it.
    #[must_use]
    pub fn appends_runtime_args(&self) -> bool {
        self.version >= Version::new(5, 5)
    }
}

fn mode_flag(version: Version, mode: IsarMode) -> Result<&'static str, ToolError> {
    match mode {
        IsarMode::Privileged if version >= TWO_MODES => Ok("--isar-privileged"),
        IsarMode::Privileged => Ok("--isar"),
        IsarMode::Rootless if version >= TWO_MODES => Ok("--isar-rootless"),
        IsarMode::Rootless => Err(ToolError::NoRootless { version }),
    }
}

/// Finds a program that a setting names, and its version.
pub(crate) fn program_and_version(
    program: &std::path::Path,
    setting: &'static str,
    prober: Prober<'_>,
) -> Result<(PathBuf, Version), ToolError> {
    let found = prober.find(program).ok_or_else(|| ToolError::NotFound {
        program: program.to_path_buf(),
        setting,
    })?;
    let answer = prober.ask(&found, &["--version"])?;
    if !answer.ok {
        return Err(ToolError::Broken {
            program: found,
            complaint: answer.complaint(),
        });
    }
    match Version::find(answer.first_line()) {
        Some(version) => Ok((found, version)),
        None => Err(ToolError::NoVersion {
            program: found,
            said: answer.first_line().to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_follows_version_and_mode() {
        let old = Version::new(5, 1);
        let new = Version::new(5, 4);
        assert_eq!(mode_flag(old, IsarMode::Privileged), Ok("--isar"));
        assert_eq!(
            mode_flag(new, IsarMode::Privileged),
            Ok("--isar-privileged")
        );
        assert_eq!(mode_flag(new, IsarMode::Rootless), Ok("--isar-rootless"));
        assert_eq!(
            mode_flag(old, IsarMode::Rootless),
            Err(ToolError::NoRootless { version: old })
        );
    }
}
