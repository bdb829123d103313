//! The project that a command works on: its matrix, selected and checked, and its settings.

use std::path::{Path, PathBuf};

use crate::cli::HostArch;
use crate::load::{self, LoadOptions, Loaded};
use crate::model::affinity::Affinity;
use crate::model::arch::Arch;
use crate::model::kas_tree::KasTree;
use crate::model::matrix::{Matrix, Variant};
use crate::model::plan::{Plan, Scope};
use crate::model::select::select;
use crate::settings::{LayerFile, Settings, VariantDirs, build_dir, variant_dirs};

use super::context::Context;
use super::failure::{Failure, Kind};
use super::forecast::Forecast;

/// The failure to load a matrix, together with what is wrong with the settings: all faults of a file
/// are told at once.
fn with_settings(
    context: &Context,
    path: &Path,
    error: &load::LoadError,
    mut failure: Failure,
) -> Failure {
    let load::LoadError::Faulty { text, .. } = error else {
        return failure;
    };
    let file = LayerFile {
        path: path.to_owned(),
        text: text.clone(),
    };
    let wrong = context
        .layers(Some(file))
        .ok()
        .and_then(|layers| Settings::resolve(&layers).err());
    if let Some(mut wrong) = wrong {
        // That the file is not TOML was said.
        wrong.faults.retain(|fault| !fault.syntax);
        if !wrong.faults.is_empty() {
            failure.message.push('\n');
            failure
                .message
                .push_str(&wrong.render(context.colors_stderr()));
        }
    }
    failure
}

/// Of what there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Differs {
    /// Architectures.
    pub archs: bool,
    /// Machines.
    pub machines: bool,
}

impl Differs {
    fn among(variants: &[Variant]) -> Differs {
        let first = variants.first();
        let differ = |same: fn(&Variant, &Variant) -> bool| {
            variants
                .iter()
                .any(|one| !first.is_some_and(|first| same(first, one)))
        };
        Differs {
            archs: differ(|one, other| one.arch == other.arch),
            machines: differ(|one, other| one.key.machine == other.key.machine),
        }
    }
}

/// A checked project.
#[derive(Debug)]
pub struct Project {
    /// The selected part of the matrix.
    pub matrix: Matrix,
    /// In how much the variants of the file differ, selected or not.
    pub differs: Differs,
    /// What the variants of the file share, selected or not.
    pub affinity: Affinity,
    /// The directory of variants.toml, absolute.
    pub directory: PathBuf,
    /// The settings.
    pub settings: Settings,
    /// The build directory that `--build-dir` names, absolute.
    pub build_dir: Option<PathBuf>,
    /// Where `proc` and `sys` lie.
    pub system_root: PathBuf,
    /// Faults to be of kas files, rendered; empty when there are none.
    pub warnings: String,
    /// The kas files of the chains and what they include.
    pub kas: KasTree,
}

impl Project {
    /// Loads, checks and selects what the command line names, as on a host of this architecture.
    ///
    /// # Errors
    /// Every fault of the matrix, its kas files and the settings, rendered.
    pub fn load(context: &Context) -> Result<Project, Failure> {
        Project::load_for(context, HostArch(Arch::host()), None)
    }

    /// As [`Project::load`], for another host or release.
    ///
    /// # Errors
    /// The same.
    pub fn load_for(
        context: &Context,
        host: HostArch,
        release_version: Option<String>,
    ) -> Result<Project, Failure> {
        let color = context.colors_stderr();
        let words = &context.cli.select;
        let options = LoadOptions {
            cwd: context.working_dir.clone(),
            host: host.0,
            overlays: words.overlays.clone(),
            release_version,
        };
        let faulty =
            |error: &load::LoadError| Failure::report(Kind::Configuration, error.render(color));
        let path = load::find(&context.working_dir, words.file.as_deref())
            .map_err(|error| faulty(&error))?;
        let loaded = load::load(&path, &options)
            .map_err(|error| with_settings(context, &path, &error, faulty(&error)))?;
        let settings = context.settings(LayerFile {
            path: loaded.path.clone(),
            text: loaded.source.clone(),
        })?;
        // They become events, which are the same wherever they are shown.
        let warnings = loaded.render_warnings(false);
        let Loaded {
            matrix,
            file_name,
            project_dir,
            kas,
            ..
        } = loaded;
        let differs = Differs::among(&matrix.variants);
        let affinity = Affinity::of(&matrix.variants, &kas);
        let matrix = select(matrix, &words.variants, &words.machines).map_err(|faults| {
            Failure::report(Kind::Configuration, faults.render(&file_name, "", color))
        })?;
        Ok(Project {
            matrix,
            differs,
            affinity,
            directory: project_dir,
            settings,
            build_dir: context
                .cli
                .mode
                .build_dir
                .as_ref()
                // As the settings write paths, which is how records name them: no `./`, no slash at the end.
                .map(|dir| context.working_dir.join(dir).components().collect()),
            system_root: context.environment.system_root(),
            warnings,
            kas,
        })
    }

    /// The directories of a variant.
    #[must_use]
    pub fn dirs(&self, variant: &Variant) -> VariantDirs {
        let key = &variant.key;
        variant_dirs(&self.settings, &key.machine, &key.id, variant.arch)
    }

    /// Which part of the main job the command line asks for.
    #[must_use]
    pub fn scope(context: &Context) -> Scope {
        let mode = &context.cli.mode;
        match (mode.rename_existing, mode.hash_only) {
            (true, _) => Scope::FromDeploy,
            (_, true) => Scope::FromOutput,
            _ => Scope::Full,
        }
    }

    /// Plans the selected variants.
    ///
    /// # Errors
    /// When two of them would take one file.
    pub fn plan(&self, scope: Scope) -> Result<Plan, Failure> {
        Forecast::of(self, scope, self.settings.jobs.value).plan(self, scope)
    }

    /// KAS_BUILD_DIR of each selected variant, as seen from the project's directory.
    #[must_use]
    pub fn build_dirs(&self) -> Vec<String> {
        let variants = &self.matrix.variants;
        if let Some(dir) = &self.build_dir {
            return vec![self.relative(dir); variants.len()];
        }
        let root = PathBuf::from(self.relative(&self.settings.build_root.value));
        let sharing = self.settings.build_sharing.value;
        variants
            .iter()
            .map(|variant| {
                let key = &variant.key;
                let dir = build_dir(&root, sharing, &key.machine, &key.id);
                dir.display().to_string()
            })
            .collect()
    }

    /// A path as seen from the project's directory, where it lies below it.
    #[must_use]
    pub fn relative(&self, path: &std::path::Path) -> String {
        path.strip_prefix(&self.directory)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}
