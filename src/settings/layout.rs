//! The directories of variants: the one place that computes them. Creates none.

use std::path::{Path, PathBuf};

use crate::base::arch::Arch;
use crate::settings::choices::BuildSharing;
use crate::settings::table::Settings;

/// The directories of a variant, absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantDirs {
    /// `KAS_WORK_DIR`, of this variant only.
    pub work: PathBuf,
    /// `KAS_BUILD_DIR`, of this variant only unless `build-sharing` is set.
    pub build: PathBuf,
    /// `DL_DIR`, shared by the variants of an architecture.
    pub dl: PathBuf,
    /// `SSTATE_DIR`, shared by all variants.
    pub sstate: PathBuf,
    /// `KAS_REPO_REF_DIR`, shared by all variants.
    pub repo_ref: PathBuf,
    /// The directory of captured artifacts, shared by the variants of a machine.
    pub output: PathBuf,
}

impl Settings {
    /// The directories that a run creates and writes to, with the keys of their settings.
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
/// The work directory is never shared: two processes of kas in one directory collide at the lock of
/// git. The build directory is shared only on request, because a directory that several variants use
/// yields wrong images unless it is cleaned in between.
#[must_use]
pub fn variant_dirs(settings: &Settings, machine: &str, id: &str, arch: Arch) -> VariantDirs {
    let root = &settings.build_root.value;
    VariantDirs {
        work: root.join(machine).join(id).join("work"),
        build: build_dir(root, settings.build_sharing.value, machine, id),
        dl: download_dir(settings, arch),
        sstate: settings.sstate_dir.value.clone(),
        repo_ref: settings.repo_ref_dir.value.clone(),
        output: output_dir(settings, machine),
    }
}

/// The build directory of a variant below `build-root`.
#[must_use]
pub fn build_dir(root: &Path, sharing: BuildSharing, machine: &str, id: &str) -> PathBuf {
    // The names of machines and ids cannot start with a dot, so no variant has this directory.
    let shared = ".shared/build";
    let mut dir = root.to_owned();
    match sharing {
        BuildSharing::None => dir.extend([machine, id, "build"]),
        BuildSharing::Machine => dir.extend([machine, shared]),
        BuildSharing::All => dir.push(shared),
    }
    dir
}

/// The directory of the captured artifacts of a machine.
#[must_use]
pub fn output_dir(settings: &Settings, machine: &str) -> PathBuf {
    settings.output_dir.value.join(machine)
}

/// The download cache of an architecture.
#[must_use]
pub fn download_dir(settings: &Settings, arch: Arch) -> PathBuf {
    settings.dl_dir.value.join(arch.as_str())
}
