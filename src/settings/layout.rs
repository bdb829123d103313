//! Where the directories of a variant are.
//!
//! Knows nothing of what is in them, and makes none of them.

use std::path::{Path, PathBuf};

use super::choice::BuildSharing;
use super::table::Settings;
use crate::model::arch::Arch;

/// The directories of a variant's build. All absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantDirs {
    /// `KAS_WORK_DIR`: the variant's own.
    pub work: PathBuf,
    /// `KAS_BUILD_DIR`: the variant's own, or one that it shares (`build-sharing`).
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

impl Settings {
    /// The directories that a run makes and writes to, by the settings that say where they are.
    #[must_use]
    pub fn directories(&self) -> [(&'static str, &Path); 6] {
        [
            ("state-dir", &self.state_dir.value),
            ("build-root", &self.build_root.value),
            ("output-dir", &self.output_dir.value),
            ("dl-dir", &self.dl_dir.value),
            ("sstate-dir", &self.sstate_dir.value),
            ("repo-ref-dir", &self.repo_ref_dir.value),
        ]
    }
}

/// The directories of a variant.
///
/// The work directory is not shared: two runs of kas in one meet in git's lock. The build directory is
/// shared only on request, because one that several variants use makes wrong images unless it is cleaned
/// in between. No variant and no machine has a name that begins with a dot.
#[must_use]
pub fn variant_dirs(settings: &Settings, machine: &str, id: &str, arch: Arch) -> VariantDirs {
    let root = &settings.build_root.value;
    VariantDirs {
        work: root.join(machine).join(id).join("work"),
        build: build_dir(root, settings.build_sharing.value, machine, id),
        dl: settings.dl_dir.value.join(arch.as_str()),
        sstate: settings.sstate_dir.value.clone(),
        repo_ref: settings.repo_ref_dir.value.clone(),
        output: settings.output_dir.value.join(machine),
    }
}

/// The build directory of a variant below `build-root`.
#[must_use]
pub fn build_dir(root: &Path, sharing: BuildSharing, machine: &str, id: &str) -> PathBuf {
    let shared = ".shared/build";
    let mut dir = root.to_owned();
    match sharing {
        BuildSharing::None => dir.extend([machine, id, "build"]),
        BuildSharing::Machine => dir.extend([machine, shared]),
        BuildSharing::All => dir.push(shared),
    }
    dir
}
