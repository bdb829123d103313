//! Puts together the inputs of one variant after the other; what several share is read once.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::cache::HashCache;
use super::checkout;
use super::tree::{self, Tree};
use crate::files::{PathError, parent, with_suffix};
use crate::kas;
use crate::load::FILE_NAME;
use crate::model::arch::Arch;
use crate::model::console::Mounts;
use crate::model::kas_repos::{KasFacts, Merged, RepoEntry, RepoPlace};
use crate::model::kas_tree::KasTree;
use crate::model::key::{Image, Inputs, Program, Unknown, Unpinned};
use crate::model::matrix::Variant;
use crate::model::store_path::hex;
use crate::settings::{Environment, Executor, Settings, VariantDirs, variant_dirs};

use sha2::{Digest as _, Sha256};

/// The variables that kas-container passes on (kas 5.5) and that decide what is built, or from what.
/// Left out of those it passes on: `TERM` and `NO_COLOR`; `BB_NUMBER_THREADS` and `PARALLEL_MAKE`, which
/// say how fast; `KAS_MACHINE` and its like, which we do not pass on; `DL_DIR` and `SSTATE_DIR`, which say
/// where.
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

/// The settings that decide what is built, or whether it is registered.
pub(super) const SETTINGS: &[&str] = &[
    "isar-mode",
    "mounts",
    "runtime-args",
    "kas-args",
    "env",
    "foreign-allowed",
    "skip-gates",
];

/// What only a program can tell, as it was told last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tools {
    /// The version of kas-container, or of kas.
    pub version: Option<String>,
    /// The digest of the container image.
    pub digest: Option<String>,
}

/// What was gathered of a variant.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// The inputs.
    pub inputs: Inputs,
    /// What of them nothing pins.
    pub unpinned: Vec<Unpinned>,
    /// What could not be known yet: a repository that is not cloned, an image not there.
    pub unknown: Unknown,
    /// The trees by their names in the inputs.
    pub trees: Vec<(String, Arc<Tree>)>,
}

/// Gathers inputs. Remembers what it read, so one that is to see changes is made anew.
pub struct Gatherer<'a> {
    settings: &'a Settings,
    environment: &'a Environment,
    /// The directory of variants.toml, without links in it.
    project_dir: PathBuf,
    host: Option<Arch>,
    cache: &'a mut HashCache,
    /// Places that we write ourselves.
    without: Vec<PathBuf>,
    files: HashMap<String, (String, Arc<KasFacts>)>,
    trees: HashMap<PathBuf, Arc<Tree>>,
    program: Option<String>,
    set: Vec<(String, String)>,
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
        let set = settings
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
            files: HashMap::new(),
            trees: HashMap::new(),
            program: None,
            set,
            variables,
        }
    }

    /// The inputs of a variant, whose kas files are in `kas`.
    ///
    /// # Errors
    /// The first file that cannot be read: nobody can say then whether something has changed.
    pub fn gather(
        &mut self,
        variant: &Variant,
        kas: &KasTree,
        tools: &Tools,
    ) -> Result<Gathered, PathError> {
        let key = &variant.key;
        let dirs = variant_dirs(self.settings, &key.machine, &key.id, variant.arch);
        let mut kas_files = Vec::new();
        let mut facts = Vec::new();
        for file in kas.closure(&variant.kas) {
            let (hash, said) = self.kas_file(&file, kas);
            let path = self.project_dir.join(&file);
            if let Ok(metadata) = fs::metadata(&path) {
                self.cache.note(&path, &metadata);
            }
            kas_files.push((file, hash));
            facts.push(said);
        }
        let root = self.project_dir.join(&kas.root);
        let own = Own {
            mounts: self.mounts(&root, &dirs),
            root,
            dirs,
        };
        let (merged, elsewhere) = self.elsewhere(facts, &own)?;
        kas_files.extend(elsewhere.files);
        let mut trees = Vec::new();
        let layers = self.layers(&merged, &own, &mut trees)?;
        let patches = self.patches(&merged, &own, &mut trees)?;
        let further = self.further(&mut trees)?;
        let program = self.program(tools)?;
        let no_digest = |image: &Image| image.digest.is_none();
        let unknown = Unknown {
            includes: elsewhere.unread,
            tools: program.version.is_none() || program.image.as_ref().is_some_and(no_digest),
        };
        let repositories = merged
            .repos
            .iter()
            .map(|(name, entry)| (name.clone(), entry.described()))
            .collect();
        let unpinned = self.unpinned(&merged, &program);
        let inputs = Inputs {
            variant: key.clone(),
            arch: variant.arch,
            host: self.host,
            chain: variant.kas.clone(),
            kas_files,
            repositories,
            includes: elsewhere.includes,
            layers,
            patches,
            further,
            variables: self.variables(&merged),
            settings: self.set.clone(),
            program,
            artifacts: variant.artifacts.clone(),
        };
        Ok(Gathered {
            inputs,
            unpinned,
            unknown,
            trees,
        })
    }

    /// What an answer of the programs is about: which program, in which version of its file, on which engine,
    /// with which image.
    ///
    /// # Errors
    /// When the program cannot be read.
    pub fn subject(&mut self) -> Result<String, PathError> {
        let program = self.program(&Tools::default())?;
        let image = program.image.map_or_else(String::new, |image| image.name);
        let settings = self.settings;
        Ok(format!(
            "{} {} {:?} {:?} {image}",
            program.name, program.content, settings.engine.value, settings.isar_mode.value
        ))
    }

    /// Keeps the hashes that were taken.
    ///
    /// # Errors
    /// What the system answers.
    pub fn save(&mut self) -> Result<(), PathError> {
        self.cache.save()
    }

    fn kas_file(&mut self, file: &str, kas: &KasTree) -> (String, Arc<KasFacts>) {
        let known = self.files.entry(file.to_owned()).or_insert_with(|| {
            let source = kas.sources.get(file).map_or("", String::as_str);
            let hash = hex(&Sha256::digest(source));
            (hash, Arc::new(kas::facts(source)))
        });
        known.clone()
    }

    /// Reads what the files include from other repositories, where that can be read.
    fn elsewhere(
        &mut self,
        own_facts: Vec<Arc<KasFacts>>,
        own: &Own,
    ) -> Result<(Merged, Elsewhere), PathError> {
        let mut found = Elsewhere::default();
        let mut facts: Vec<Arc<KasFacts>> = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            // What is included comes before what includes it.
            let all = facts.iter().chain(&own_facts).map(|facts| &**facts);
            let merged = Merged::of(all);
            let mut queue: Vec<(String, String)> = merged
                .includes
                .iter()
                .filter(|include| !seen.contains(*include))
                .cloned()
                .collect();
            if queue.is_empty() {
                return Ok((merged, found));
            }
            while let Some((repo, file)) = queue.pop() {
                if !seen.insert((repo.clone(), file.clone())) {
                    continue;
                }
                let Some(said) = self.include(&merged, own, &repo, &file, &mut found)? else {
                    continue;
                };
                let own_includes = said.includes.iter().filter(|(of, _)| of.is_empty());
                queue.extend(own_includes.map(|(_, file)| (repo.clone(), file.clone())));
                facts.push(said);
            }
        }
    }

    /// One file of a repository that has a name; `None` where it is read elsewhere, or cannot be yet.
    fn include(
        &mut self,
        merged: &Merged,
        own: &Own,
        repo: &str,
        file: &str,
        found: &mut Elsewhere,
    ) -> Result<Option<Arc<KasFacts>>, PathError> {
        let Some(entry) = merged.repos.get(repo) else {
            // kas will say that it knows no such repository.
            return Ok(None);
        };
        let name = format!("{repo}:{file}");
        match entry.place() {
            // Those of our own are among the files that were read already.
            RepoPlace::Own => Ok(None),
            RepoPlace::At(path) => {
                let path = own.at(path).join(file);
                let hash = self.cache.hash(&path)?;
                found.files.push((name, hex(&hash)));
                let text = fs::read(&path).map_err(PathError::on("read", &path))?;
                Ok(Some(Arc::new(kas::facts(&String::from_utf8_lossy(&text)))))
            }
            RepoPlace::Cloned(path) => {
                found.includes.push((name, entry.described()));
                let clone = own.at(path.unwrap_or(repo));
                let fits = merged.pin(repo).is_none_or(|pin| {
                    // What kas has patched is on a branch that is called after the pin.
                    checkout::head(&clone).is_some_and(|head| head == pin)
                        || !entry.patches.is_empty()
                            && checkout::branch(&clone)
                                .is_some_and(|branch| branch.strip_prefix("patched-") == Some(pin))
                });
                let text = fits.then(|| fs::read_to_string(clone.join(file)).ok());
                let Some(text) = text.flatten() else {
                    found.unread = true;
                    return Ok(None);
                };
                Ok(Some(Arc::new(kas::facts(&text))))
            }
        }
    }

    fn tree(&mut self, path: &Path) -> Result<Option<Arc<Tree>>, PathError> {
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

    /// The line of a tree, which is `absent` where there is none.
    fn line(
        &mut self,
        path: &Path,
        trees: &mut Vec<(String, Arc<Tree>)>,
    ) -> Result<(String, String), PathError> {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = kas::relative(&real, &self.project_dir);
        match self.tree(path)? {
            None => Ok((name, "absent".to_owned())),
            Some(tree) => {
                let hash = hex(&tree.hash);
                trees.push((name.clone(), tree));
                Ok((name, hash))
            }
        }
    }

    fn layers(
        &mut self,
        merged: &Merged,
        own: &Own,
        trees: &mut Vec<(String, Arc<Tree>)>,
    ) -> Result<Vec<(String, String)>, PathError> {
        let mut lines = Vec::new();
        for entry in merged.repos.values() {
            let Some(root) = own.root_of(entry.place()) else {
                continue;
            };
            for layer in entry.layers() {
                lines.push(self.line(&own.below(entry.place(), &root, layer)?, trees)?);
            }
        }
        Ok(lines)
    }

    fn patches(
        &mut self,
        merged: &Merged,
        own: &Own,
        trees: &mut Vec<(String, Arc<Tree>)>,
    ) -> Result<Vec<(String, String)>, PathError> {
        let mut lines = Vec::new();
        for patch in merged.repos.values().flat_map(|entry| &entry.patches) {
            let place = patch.repo.as_ref().and_then(|repo| merged.repos.get(repo));
            // One without repository or path kas refuses.
            let (Some(place), Some(path)) = (place.map(RepoEntry::place), &patch.path) else {
                continue;
            };
            // A patch of a cloned repository is pinned with it.
            if let Some(root) = own.root_of(place) {
                lines.push(self.line(&own.below(place, &root, path)?, trees)?);
            }
        }
        Ok(lines)
    }

    /// What kas sees in its container; none where it runs without one.
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
        (self.settings.executor.value == Executor::KasContainer)
            .then(|| Mounts::new(further.chain(fixed)))
    }

    fn further(
        &mut self,
        trees: &mut Vec<(String, Arc<Tree>)>,
    ) -> Result<Vec<(String, String)>, PathError> {
        let settings = self.settings;
        let paths = settings.inputs.value.iter();
        paths.map(|path| self.line(path, trees)).collect()
    }

    fn program(&mut self, tools: &Tools) -> Result<Program, PathError> {
        let settings = self.settings;
        let (name, program) = match settings.executor.value {
            Executor::KasContainer => ("kas-container", &settings.kas_container.value),
            Executor::Kas => ("kas", &settings.kas.value),
        };
        let content = match &self.program {
            Some(content) => content.clone(),
            None => {
                let found = which::which_in(program, self.environment.path(), "/").ok();
                let content = match found {
                    Some(path) => hex(&self.cache.hash(&path)?),
                    None => "absent".to_owned(),
                };
                self.program.insert(content).clone()
            }
        };
        let image = (settings.executor.value == Executor::KasContainer).then(|| Image {
            name: image_name(settings, self.environment, tools.version.as_deref()),
            digest: tools.digest.clone(),
        });
        Ok(Program {
            name: name.to_owned(),
            content,
            version: tools.version.clone(),
            image,
        })
    }

    /// With kas in a container a kas file's `env` sees what kas-container passes on; kas itself sees all.
    fn variables(&self, merged: &Merged) -> Vec<(String, String)> {
        let mut variables = self.variables.clone();
        if self.settings.executor.value == Executor::Kas {
            for name in &merged.variables {
                let known = variables.iter().any(|(known, _)| known == name);
                if let Some(value) = value(self.environment, name).filter(|_| !known) {
                    variables.push((name.clone(), value));
                }
            }
        }
        variables
    }

    /// What the setting `pinned` does not vouch for.
    fn unpinned(&self, merged: &Merged, program: &Program) -> Vec<Unpinned> {
        let mut unpinned: Vec<Unpinned> = merged
            .unpinned()
            .into_iter()
            .map(|(name, follows)| Unpinned::Repository { name, follows })
            .collect();
        if !merged.apt_is_pinned {
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
        let vouched = &self.settings.pinned.value;
        unpinned.retain(|one| !vouched.iter().any(|word| word == one.word()));
        unpinned
    }
}

/// Where the repositories of a variant are.
struct Own {
    /// The repository of the kas files.
    root: PathBuf,
    dirs: VariantDirs,
    mounts: Option<Mounts>,
}

impl Own {
    /// A directory as a kas file names it: relative to the work directory, or absolute, in a container
    /// where kas runs in one.
    fn at(&self, path: &str) -> PathBuf {
        let outside = self.mounts.as_ref().and_then(|mounts| mounts.host(path));
        outside.map_or_else(|| self.dirs.work.join(path), PathBuf::from)
    }

    /// What a local repository has under this name. Where a place that only kas knows has nothing for us,
    /// nobody can say whether it changed.
    fn below(&self, place: RepoPlace<'_>, root: &Path, name: &str) -> Result<PathBuf, PathError> {
        let is_absolute = Path::new(name).is_absolute();
        let path = if is_absolute {
            self.at(name)
        } else {
            root.join(name)
        };
        if (is_absolute || matches!(place, RepoPlace::At(_))) && !path.exists() {
            let missing = io::Error::from(io::ErrorKind::NotFound);
            return Err(PathError::on("read", &path)(missing));
        }
        Ok(path)
    }

    fn root_of(&self, place: RepoPlace<'_>) -> Option<PathBuf> {
        match place {
            RepoPlace::Own => Some(self.root.clone()),
            RepoPlace::At(path) => Some(self.at(path)),
            RepoPlace::Cloned(_) => None,
        }
    }
}

/// What other repositories give.
#[derive(Default)]
struct Elsewhere {
    files: Vec<(String, String)>,
    includes: Vec<(String, String)>,
    /// Whether one of the included files is not there yet. Its pin stands for its content; what else it
    /// names is not known.
    unread: bool,
}

/// A variable's value; one that holds a password is told by its hash.
fn value(environment: &Environment, name: &str) -> Option<String> {
    let value = environment.get(name)?;
    match value.to_str() {
        Some(text) if !(text.contains("://") && text.contains('@')) => Some(text.to_owned()),
        _ => Some(hex(&Sha256::digest(value.as_encoded_bytes()))),
    }
}

/// The image that kas-container takes (kas 5.5: `KAS_CONTAINER_IMAGE`, or put together of its parts).
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

#[cfg(test)]
mod tests;
