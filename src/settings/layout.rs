//! Where the directories of a variant are.
//!
//! Knows nothing of what is in them, and makes none of them.

use std::path::PathBuf;

use super::table::Settings;
use crate::model::arch::Arch;

/// The directories of a variant's build. All absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantDirs {
    /// `KAS_WORK_DIR`: the variant's own.
    pub work: PathBuf,
    /// `KAS_BUILD_DIR`: the variant's own.
    pub build: PathBuf,
    /// `DL_DIR`: shared by the variants of an architecture.
    pub dl: PathBuf,
    /// `SSTATE_DIR`: shared by all.
    pub sstate: PathBuf,
    /// `KAS_REPO_REF_DIR`: shared by all.
    pub repo_ref: PathBuf,
    /// Where its captured artifacts go: shared by the variants of a machine.
    pub output: PathBuf,
}

/// The directories of a variant.
///
/// Work and build directory are not shared, because a build directory that several variants use makes
/// wrong images, and two runs of kas in one work directory meet in git's lock.
#[must_use]
pub fn variant_dirs(settings: &Settings, machine: &str, id: &str, arch: Arch) -> VariantDirs {
    let own = settings.build_root.value.join(machine).join(id);
    VariantDirs {
        work: own.join("work"),
        build: own.join("build"),
        dl: settings.dl_dir.value.join(arch.as_str()),
        sstate: settings.sstate_dir.value.clone(),
        repo_ref: settings.repo_ref_dir.value.clone(),
        output: settings.output_dir.value.join(machine),
    }
}
