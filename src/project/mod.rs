//! A loaded project: the selected part of the matrix, the kas files and the settings, all of them checked.

pub mod arguments;
pub mod chains;
pub mod context;
pub mod load;

use std::path::{Path, PathBuf};

use crate::base::arch::Arch;
use crate::kas::tree::KasTree;
use crate::matrix::selection::select;
use crate::matrix::{Matrix, Variant};
use crate::plan::Scope;
use crate::plan::affinity::Affinity;
use crate::project::load::{LoadOptions, Loaded};
use crate::settings::{LayerFile, Settings, VariantDirs, build_dir, variant_dirs};

use crate::base::failure::{Failure, FailureKind};
use crate::project::context::Context;

/// The failure to load a matrix, with the faults of the settings added: the user sees all faults of a file at
/// once.
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
        // The failure reports already that the file is not TOML.
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

/// How the variants of a file differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VariantSpread {
    /// Whether they are for several architectures.
    pub archs: bool,
    /// Whether they are for several machines.
    pub machines: bool,
}

impl VariantSpread {
    fn among(variants: &[Variant]) -> VariantSpread {
        let first = variants.first();
        let differ = |same: fn(&Variant, &Variant) -> bool| {
            variants
                .iter()
                .any(|one| !first.is_some_and(|first| same(first, one)))
        };
        VariantSpread {
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
    /// How the variants of the file differ, including those that are not selected.
    pub differs: VariantSpread,
    /// The common parts of all variants of the file, including those that are not selected.
    pub affinity: Affinity,
    /// The directory of variants.toml, absolute.
    pub directory: PathBuf,
    /// The settings.
    pub settings: Settings,
    /// The build directory that `--build-dir` names, absolute.
    pub build_dir: Option<PathBuf>,
    /// The directory of `proc` and `sys`: `/`, except in tests.
    pub system_root: PathBuf,
    /// Warnings about kas files, rendered; empty where there are none.
    pub warnings: String,
    /// The kas files of the chains and what they include.
    pub kas: KasTree,
}

impl Project {
    /// Loads and checks the project, and selects the variants that the command line names.
    ///
    /// # Errors
    /// Every fault of the matrix, its kas files and the settings, rendered.
    pub fn load(context: &Context) -> Result<Project, Failure> {
        Project::load_for(context, Arch::host(), None)
    }

    /// As [`Project::load`], for a host of another architecture (`None`: no variant is native) or another release.
    ///
    /// # Errors
    /// As [`Project::load`].
    pub fn load_for(
        context: &Context,
        host: Option<Arch>,
        release_version: Option<String>,
    ) -> Result<Project, Failure> {
        let color = context.colors_stderr();
        let words = &context.arguments.select;
        let options = LoadOptions {
            cwd: context.working_dir.clone(),
            host,
            overlays: words.overlays.clone(),
            release_version,
            products: context.products.iter().map(|one| one.info()).collect(),
        };
        let faulty = |error: &load::LoadError| {
            Failure::report(FailureKind::Configuration, error.render(color))
        };
        let path = load::find(&context.working_dir, words.file.as_deref())
            .map_err(|error| faulty(&error))?;
        let loaded = load::load(&path, &options)
            .map_err(|error| with_settings(context, &path, &error, faulty(&error)))?;
        let settings = context.settings(LayerFile {
            path: loaded.path.clone(),
            text: loaded.source.clone(),
        })?;
        // They become events, whose text does not depend on the terminal.
        let warnings = loaded.render_warnings(false);
        let Loaded {
            matrix,
            file_name,
            project_dir,
            kas,
            ..
        } = loaded;
        let differs = VariantSpread::among(&matrix.variants);
        let affinity = Affinity::of(&matrix.variants, &kas);
        let matrix = select(matrix, &words.variants, &words.machines).map_err(|faults| {
            Failure::report(
                FailureKind::Configuration,
                faults.render(&file_name, "", color),
            )
        })?;
        Ok(Project {
            matrix,
            differs,
            affinity,
            directory: project_dir,
            settings,
            build_dir: context
                .arguments
                .mode
                .build_dir
                .as_ref()
                // Normalized as the settings normalize paths, because records hold those: no `./`, no slash at the end.
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

    /// The part of a run that the command line selects.
    #[must_use]
    pub fn scope(context: &Context) -> Scope {
        let mode = &context.arguments.mode;
        match (mode.rename_existing, mode.hash_only) {
            (true, _) => Scope::FromDeploy,
            (_, true) => Scope::FromOutput,
            _ => Scope::Full,
        }
    }

    /// KAS_BUILD_DIR of each selected variant, relative to the project's directory where it is below it.
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

    /// A path, relative to the project's directory where it is below it.
    #[must_use]
    pub fn relative(&self, path: &std::path::Path) -> String {
        path.strip_prefix(&self.directory)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}
