//! Gathers the inputs of variants. Files that several variants share are read once.

mod kas_source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use crate::base::arch::Arch;
use crate::base::hex;
use crate::bitbake::console::Mounts;
use crate::fs::{PathError, parent, with_suffix};
use crate::inputs::cache::HashCache;
use crate::inputs::chain::{RepoLocations, ResolvedChain};
use crate::inputs::gather::kas_source::{GatherSource, KasFileContent, refused};
use crate::inputs::key::{ContainerImage, Inputs, KasProgram, UnknownInputs, Unpinned};
use crate::inputs::tree;
use crate::inputs::tree::FileTree;
use crate::kas;
use crate::kas::apt_snapshot;
use crate::kas::config::{self, KasConfig, KasPlaces, KasRepo};
use crate::kas::tree::KasTree;
use crate::matrix::{FILE_NAME, Variant};
use crate::settings::{Environment, ExecutorChoice, Settings, VariantDirs, variant_dirs};

use sha2::{Digest as _, Sha256};

/// The variables that kas-container passes on (kas 5.5) and that can change the result of a build. It also passes on
/// `TERM` and `NO_COLOR`, `BB_NUMBER_THREADS` and `PARALLEL_MAKE`, `DL_DIR` and `SSTATE_DIR`: these change output,
/// speed and places only. `KAS_MACHINE` and the like are not in the list because this tool unsets them.
pub(super) const VARIABLES: &[&str] = &[
    "BB_HASHSERVE",
    "BB_HASHSERVE_UPSTREAM",
    "DISTRO_APT_PREMIRRORS",
    "KAS_CLONE_DEPTH",
    "KAS_CONTAINER_IMAGE_DISTRO",
    "KAS_CONTAINER_IMAGE_NAME",
    "KAS_CONTAINER_IMAGE_PATH",
    "KAS_IMAGE_VERSION",
    "KAS_PREMIRRORS",
    "SSTATE_MIRRORS",
    "TZ",
    "all_proxy",
    "ALL_PROXY",
    "ftp_proxy",
    "FTP_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// The settings that can change what is built or whether it is registered.
pub(super) const SETTINGS: &[&str] = &[
    "isar-mode",
    "mounts",
    "runtime-args",
    "kas-args",
    "env",
    "foreign-allowed",
    "skip-gates",
];

/// Inputs that only a program can report: which kas and which image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolIdentity {
    /// The version of kas-container, or of kas.
    pub version: Option<String>,
    /// The digest of the container image.
    pub digest: Option<String>,
}

/// The inputs of a variant, and what is known about them.
#[derive(Debug, Clone)]
pub struct GatheredInputs {
    /// The inputs.
    pub inputs: Inputs,
    /// The inputs that nothing pins.
    pub unpinned: Vec<Unpinned>,
    /// The inputs that are unknown: files of a repository that is not cloned, an image that is not pulled.
    pub unknown: UnknownInputs,
    /// The trees, by their names in the inputs.
    pub trees: Vec<(String, Arc<FileTree>)>,
    /// The chain as this tool reads it.
    pub(super) chain: ResolvedChain,
}

/// Gathers inputs. A gatherer reads each file once; make a new one to see later changes.
pub struct Gatherer<'a> {
    settings: &'a Settings,
    environment: &'a Environment,
    /// The directory of variants.toml, without links in it.
    project_dir: PathBuf,
    host: Option<Arch>,
    cache: &'a mut HashCache,
    /// Paths that this tool writes itself.
    without: Vec<PathBuf>,
    kas_files: HashMap<PathBuf, Option<KasFileContent>>,
    trees: HashMap<PathBuf, Arc<FileTree>>,
    program: Option<String>,
    setting_lines: Vec<(String, String)>,
    variables: Vec<(String, String)>,
}

impl<'a> Gatherer<'a> {
    /// For the variants of a project.
    #[must_use]
    pub fn new(
        project_dir: &Path,
        settings: &'a Settings,
        environment: &'a Environment,
        cache: &'a mut HashCache,
    ) -> Gatherer<'a> {
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let project_dir = real(project_dir);
        let hashes_file = &settings.hashes_file.value;
        let name = hashes_file.file_name().unwrap_or_default();
        let lock = format!(".{}.lock", name.to_string_lossy());
        let without = [
            project_dir.join(FILE_NAME),
            real(&settings.state_dir.value),
            real(&settings.build_root.value),
            real(&settings.output_dir.value),
            real(&settings.dl_dir.value),
            real(&settings.sstate_dir.value),
            real(&settings.repo_ref_dir.value),
            real(parent(hashes_file)).join(name),
            real(parent(hashes_file)).join(lock),
            with_suffix(&real(parent(hashes_file)).join(name), ".part"),
        ];
        let setting_lines = settings
            .entries()
            .into_iter()
            .filter(|entry| SETTINGS.contains(&entry.key))
            .map(|entry| (entry.key.to_owned(), entry.shown))
            .collect();
        let variables = VARIABLES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), value(environment, name)?)))
            .collect();
        Gatherer {
            settings,
            environment,
            project_dir,
            host: Arch::host(),
            cache,
            without: without.into(),
            kas_files: HashMap::new(),
            trees: HashMap::new(),
            program: None,
            setting_lines,
            variables,
        }
    }

    /// The settings that it gathers with.
    pub(super) fn settings(&self) -> &'a Settings {
        self.settings
    }

    /// The inputs of a variant, whose kas files are in `kas`.
    ///
    /// # Errors
    /// The first file that cannot be read; whether the variant has changed is then unknown.
    pub fn gather(
        &mut self,
        variant: &Variant,
        kas: &KasTree,
        tools: &ToolIdentity,
    ) -> Result<GatheredInputs, PathError> {
        let key = &variant.key;
        let dirs = variant_dirs(self.settings, &key.machine, &key.id, variant.arch);
        let root = fs::canonicalize(self.project_dir.join(&kas.root))
            .unwrap_or_else(|_| self.project_dir.join(&kas.root));
        let locations = RepoLocations {
            mounts: self.mounts(&root, &dirs),
            root,
            dirs,
        };
        let chain = self.chain(variant, &locations)?;
        let kas_files = self.kas_files(&chain)?;
        let includes = chain
            .config
            .named_includes
            .iter()
            .filter_map(|(key, file)| {
                let repo = chain.repo(key).filter(|repo| repo.url.is_some())?;
                Some((format!("{key}:{file}"), repo.described()))
            })
            .collect();
        let mut trees = Vec::new();
        let layers = self.layers(&chain, &locations, &mut trees)?;
        let patches = self.patches(&chain, &locations, &mut trees)?;
        let further = self.further(&mut trees)?;
        let program = self.program(tools)?;
        let no_digest = |image: &ContainerImage| image.digest.is_none();
        let unknown = UnknownInputs {
            includes: !chain.config.missing_repos.is_empty(),
            tools: program.version.is_none() || program.image.as_ref().is_some_and(no_digest),
        };
        let repositories = chain
            .repos
            .iter()
            .map(|repo| (repo.key.clone(), repo.described()))
            .collect();
        let unpinned = self.unpinned(&chain, &program);
        let inputs = Inputs {
            variant: key.clone(),
            arch: variant.arch,
            host: self.host,
            chain: variant.kas.clone(),
            kas_files,
            repositories,
            includes,
            layers,
            patches,
            further,
            variables: self.variables(&chain.config),
            settings: self.setting_lines.clone(),
            program,
            artifacts: variant.artifacts.clone(),
        };
        Ok(GatheredInputs {
            inputs,
            unpinned,
            unknown,
            trees,
            chain,
        })
    }

    /// Identifies what a [`ToolIdentity`] was reported by: program file, engine, isar mode and image name.
    ///
    /// # Errors
    /// When the program file cannot be read.
    pub fn subject(&mut self) -> Result<String, PathError> {
        let program = self.program(&ToolIdentity::default())?;
        let image = program.image.map_or_else(String::new, |image| image.name);
        let settings = self.settings;
        Ok(format!(
            "{} {} {:?} {:?} {image}",
            program.name, program.content, settings.engine.value, settings.isar_mode.value
        ))
    }

    /// Writes the hash cache.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn save(&mut self) -> Result<(), PathError> {
        self.cache.save()
    }

    /// Reads a variant's chain as kas does, with the files of repositories that are there.
    fn chain(
        &mut self,
        variant: &Variant,
        locations: &RepoLocations,
    ) -> Result<ResolvedChain, PathError> {
        let top: Vec<PathBuf> = variant
            .kas
            .iter()
            .map(|file| self.project_dir.join(file))
            .collect();
        let places = KasPlaces {
            root: locations.root.clone(),
            work_dir: locations.dirs.work.clone(),
            in_container: self.settings.executor.value == ExecutorChoice::KasContainer,
        };
        let mut source = GatherSource {
            files: &mut self.kas_files,
            locations,
        };
        let config = config::load(&top, &places, &mut source).map_err(|fault| refused(&fault))?;
        let mut repos = config.repos().map_err(|fault| {
            let refused = io::Error::new(io::ErrorKind::InvalidData, fault.to_string());
            PathError::on("resolve", &locations.root)(refused)
        })?;
        for repo in &mut repos {
            repo.path = locations.host(&repo.path);
        }
        repos.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(ResolvedChain {
            config,
            repos,
            mounts: locations.mounts.clone(),
        })
    }

    /// The files of a chain whose content counts as it is, each with its hash: those of the project's own
    /// repository and of local directories. Files of clones count by the clone's pin.
    fn kas_files(&mut self, chain: &ResolvedChain) -> Result<Vec<(String, String)>, PathError> {
        let mut lines: Vec<(String, String)> = Vec::new();
        for file in &chain.config.files {
            let repo = file.repo.as_deref().and_then(|key| chain.repo(key));
            let name = match repo {
                Some(repo) if repo.url.is_some() => continue,
                Some(repo) => format!("{}:{}", repo.key, kas::relative(&file.path, &repo.path)),
                None => kas::relative(&file.path, &self.project_dir),
            };
            if lines.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if let Ok(metadata) = fs::metadata(&file.path) {
                self.cache.note(&file.path, &metadata);
            }
            let content = self.kas_files.get(&file.path).and_then(Option::as_ref);
            let hash = content.map_or_else(String::new, |content| content.hash.clone());
            lines.push((name, hash));
        }
        Ok(lines)
    }

    fn tree(&mut self, path: &Path) -> Result<Option<Arc<FileTree>>, PathError> {
        let Ok(real) = fs::canonicalize(path) else {
            return Ok(None);
        };
        if let Some(tree) = self.trees.get(&real) {
            return Ok(Some(Arc::clone(tree)));
        }
        let tree = Arc::new(tree::read(&real, &self.without, self.cache)?);
        self.trees.insert(real, Arc::clone(&tree));
        Ok(Some(tree))
    }

    /// The name and hash of the tree at `path`; the hash is `absent` without a tree.
    fn line(
        &mut self,
        path: &Path,
        trees: &mut Vec<(String, Arc<FileTree>)>,
    ) -> Result<(String, String), PathError> {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = kas::relative(&real, &self.project_dir);
        match self.tree(path)? {
            None => Ok((name, "absent".to_owned())),
            Some(tree) => {
                let hash = hex::encode(&tree.hash);
                trees.push((name.clone(), tree));
                Ok((name, hash))
            }
        }
    }

    fn layers(
        &mut self,
        chain: &ResolvedChain,
        locations: &RepoLocations,
        trees: &mut Vec<(String, Arc<FileTree>)>,
    ) -> Result<Vec<(String, String)>, PathError> {
        let mut lines = Vec::new();
        for repo in chain.repos.iter().filter(|repo| repo.url.is_none()) {
            for layer in &repo.layers {
                let name = if layer.name == "." { "" } else { &layer.name };
                lines.push(self.line(&locations.below(repo, name)?, trees)?);
            }
        }
        Ok(lines)
    }

    fn patches(
        &mut self,
        chain: &ResolvedChain,
        locations: &RepoLocations,
        trees: &mut Vec<(String, Arc<FileTree>)>,
    ) -> Result<Vec<(String, String)>, PathError> {
        let mut lines = Vec::new();
        for patch in chain.repos.iter().flat_map(|repo| &repo.patches) {
            // A patch in a cloned repository is pinned together with it.
            let local = chain.repo(&patch.repo).filter(|repo| repo.url.is_none());
            if let Some(repo) = local {
                lines.push(self.line(&locations.below(repo, &patch.path)?, trees)?);
            }
        }
        Ok(lines)
    }

    /// The mounts of kas' container; `None` when kas runs without a container.
    fn mounts(&self, root: &Path, dirs: &VariantDirs) -> Option<Mounts> {
        let pair = |inside: &str, outside: &Path| {
            (inside.to_owned(), outside.to_string_lossy().into_owned())
        };
        let further = self.settings.mounts.value.iter().filter_map(|mount| {
            let mut parts = mount.split(':');
            let outside = parts.next()?;
            Some(pair(
                parts.next()?.trim_end_matches('/'),
                Path::new(outside),
            ))
        });
        let fixed = [pair("/repo", root), pair("/work", &dirs.work)];
        (self.settings.executor.value == ExecutorChoice::KasContainer)
            .then(|| Mounts::new(further.chain(fixed)))
    }

    fn further(
        &mut self,
        trees: &mut Vec<(String, Arc<FileTree>)>,
    ) -> Result<Vec<(String, String)>, PathError> {
        let settings = self.settings;
        let paths = settings.inputs.value.iter();
        paths.map(|path| self.line(path, trees)).collect()
    }

    fn program(&mut self, tools: &ToolIdentity) -> Result<KasProgram, PathError> {
        let settings = self.settings;
        let (name, program) = match settings.executor.value {
            ExecutorChoice::KasContainer => ("kas-container", &settings.kas_container.value),
            ExecutorChoice::Kas => ("kas", &settings.kas.value),
        };
        let content = match &self.program {
            Some(content) => content.clone(),
            None => {
                let found = which::which_in(program, self.environment.path(), "/").ok();
                let content = match found {
                    Some(path) => hex::encode(&self.cache.hash(&path)?),
                    None => "absent".to_owned(),
                };
                self.program.insert(content).clone()
            }
        };
        let image =
            (settings.executor.value == ExecutorChoice::KasContainer).then(|| ContainerImage {
                name: image_name(settings, self.environment, tools.version.as_deref()),
                digest: tools.digest.clone(),
            });
        Ok(KasProgram {
            name: name.to_owned(),
            content,
            version: tools.version.clone(),
            image,
        })
    }

    /// The variables that reach the build. In a container, `env` of a kas file sees only what kas-container passes on;
    /// without one, it sees the whole environment.
    fn variables(&self, chain: &KasConfig) -> Vec<(String, String)> {
        let mut variables = self.variables.clone();
        if self.settings.executor.value == ExecutorChoice::Kas {
            for name in chain.variable_names() {
                let known = variables.iter().any(|(known, _)| known == name);
                if let Some(value) = value(self.environment, name).filter(|_| !known) {
                    variables.push((name.to_owned(), value));
                }
            }
        }
        variables
    }

    /// The unpinned inputs, except those that the setting `pinned` names.
    fn unpinned(&self, chain: &ResolvedChain, program: &KasProgram) -> Vec<Unpinned> {
        let floats = |repo: &&KasRepo| repo.url.is_some() && repo.fixed_commit().is_none();
        let mut unpinned: Vec<Unpinned> = chain
            .repos
            .iter()
            .filter(floats)
            .map(|repo| Unpinned::Repository {
                name: repo.key.clone(),
                follows: repo.described(),
            })
            .collect();
        let headers =
            ["bblayers_conf_header", "local_conf_header"].map(|kind| chain.config.headers(kind));
        let texts = headers.iter().flatten().map(|(_, text)| *text);
        if !apt_snapshot::is_pinned(texts, &chain.config.variable_names()) {
            unpinned.push(Unpinned::Apt);
        }
        match &program.image {
            None => unpinned.push(Unpinned::Host),
            Some(image) if !image.name.contains("@sha256:") => {
                let name = image.name.clone();
                unpinned.push(Unpinned::Image { name });
            }
            Some(_) => {}
        }
        let pinned = &self.settings.pinned.value;
        unpinned.retain(|one| !pinned.iter().any(|word| word == one.word()));
        unpinned
    }
}

/// A variable's value; for a URL that may have a password in it, the hash of the value.
fn value(environment: &Environment, name: &str) -> Option<String> {
    let value = environment.get(name)?;
    match value.to_str() {
        Some(text) if !(text.contains("://") && text.contains('@')) => Some(text.to_owned()),
        _ => Some(hex::encode(&Sha256::digest(value.as_encoded_bytes()))),
    }
}

/// The name of the image that kas-container uses (kas 5.5: `KAS_CONTAINER_IMAGE`, else composed of its parts).
#[must_use]
pub fn image_name(settings: &Settings, environment: &Environment, version: Option<&str>) -> String {
    if let Some(image) = &settings.image.value {
        return image.clone();
    }
    let part = |name: &str, default: &str| environment.text(name).unwrap_or(default).to_owned();
    let path = part("KAS_CONTAINER_IMAGE_PATH", "ghcr.io/siemens/kas");
    let name = part("KAS_CONTAINER_IMAGE_NAME", "kas-isar");
    let version = part("KAS_IMAGE_VERSION", version.unwrap_or("latest"));
    let distro = environment
        .text("KAS_CONTAINER_IMAGE_DISTRO")
        .map_or_else(String::new, |distro| format!("-{distro}"));
    format!("{path}/{name}:{version}{distro}")
}
