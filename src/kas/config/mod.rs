//! The meaning of a kas chain: its files in kas's order, merged as kas merges them, and the resulting
//! repositories.
//!
//! [`load`] follows includes, lock files and other repositories; [`merge`] joins the files; [`repo`] resolves
//! one repository's entry. All three follow kas 5.5 (`includehandler.py`, `config.py`, `repos.py`). kas itself
//! has the last word: `kas dump` after a build is compared with [`KasConfig::dump`].
//!
//! Files are read through [`KasSource`], so that one reading serves many chains.

mod disk;
mod load;
mod merge;
mod repo;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::kas::yaml::{YamlNode, YamlValue};

pub use disk::{DiskSource, parse_bytes, real_path};
pub use load::{KasSource, load};
pub use repo::{KasLayer, KasPatch, KasPin, KasRepo, RepoFault, layers_in_use};

/// Where kas runs: what paths are relative to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KasPlaces {
    /// The root of the repository that holds the first file, or that file's directory outside of one.
    pub root: PathBuf,
    /// KAS_WORK_DIR.
    pub work_dir: PathBuf,
    /// Whether kas runs in a container of kas-container, which mounts `root` at [`CONTAINER_ROOT`].
    pub in_container: bool,
}

/// Where kas-container mounts the repository of the first file.
pub const CONTAINER_ROOT: &str = "/repo";

/// A file of a chain, at one of the places where it is included.
#[derive(Debug, Clone)]
pub struct ChainFile {
    /// Its path, absolute.
    pub path: PathBuf,
    /// The repository that it was included from; none for files of the chain's own repository.
    pub repo: Option<String>,
    /// Whether it was found as a lock file.
    pub is_lock: bool,
    /// Its content.
    pub node: Arc<YamlNode>,
}

/// A chain as kas reads it.
#[derive(Debug, Clone)]
pub struct KasConfig {
    /// The files in the order in which kas merges them; one that is included twice is here twice.
    pub files: Vec<ChainFile>,
    /// Includes that name a repository: its key and the file, in the order of first use.
    pub named_includes: Vec<(String, String)>,
    /// Repositories that files are included from and whose clones are not there: the rest is unknown.
    pub missing_repos: Vec<String>,
    /// The merged files.
    pub merged: Arc<YamlNode>,
    places: KasPlaces,
}

/// A chain that kas would refuse.
#[derive(Debug, Clone)]
pub struct ChainFault {
    /// The file at fault.
    pub file: PathBuf,
    /// The fault, with its place in that file.
    pub fault: Fault,
}

impl ChainFault {
    /// A fault of a file.
    #[must_use]
    pub fn of(file: &Path, fault: Fault) -> ChainFault {
        ChainFault {
            file: file.to_owned(),
            fault,
        }
    }

    fn new(file: &Path, fault: Fault) -> Box<ChainFault> {
        Box::new(ChainFault::of(file, fault))
    }
}

impl KasConfig {
    /// The configuration as `kas dump --format json` prints it.
    #[must_use]
    pub fn dump(&self) -> serde_json::Value {
        let mut dump = self.merged.to_json();
        if let Some(header) = dump
            .get_mut("header")
            .and_then(|header| header.as_object_mut())
        {
            header.remove("includes");
        }
        dump
    }

    /// The text under a top-level key, or kas's default.
    #[must_use]
    pub fn text<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.merged
            .get(key)
            .and_then(|node| node.text())
            .unwrap_or(default)
    }

    /// The bitbake targets.
    #[must_use]
    pub fn targets(&self) -> Vec<&str> {
        match self.merged.get("target").map(|node| &node.value) {
            Some(YamlValue::Text(target)) => vec![target],
            Some(YamlValue::List(targets)) => {
                targets.iter().filter_map(|target| target.text()).collect()
            }
            _ => vec!["core-image-minimal"],
        }
    }

    /// The names of the variables that kas takes from its environment, sorted.
    #[must_use]
    pub fn variable_names(&self) -> Vec<&str> {
        let env = self.merged.get("env");
        let entries = env.map_or(&[][..], |env| env.entries());
        let mut names: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The parts of `local_conf_header` or `bblayers_conf_header`, sorted by name as kas writes them.
    #[must_use]
    pub fn headers(&self, kind: &str) -> Vec<(&str, &str)> {
        let table = self.merged.get(kind);
        let mut parts: Vec<(&str, &str)> = table
            .map_or(&[][..], |table| table.entries())
            .iter()
            .map(|entry| (entry.key.as_str(), entry.node.text().unwrap_or_default()))
            .collect();
        parts.sort_unstable();
        parts
    }

    /// The repositories in the order of the merged files.
    ///
    /// # Errors
    /// The first one that kas refuses.
    pub fn repos(&self) -> Result<Vec<KasRepo>, RepoFault> {
        let repos = self.merged.get("repos");
        repos
            .map_or(&[][..], |repos| repos.entries())
            .iter()
            .map(|entry| repo::resolve(&self.merged, &entry.key, &self.places))
            .collect()
    }

    /// The repository with this key.
    ///
    /// # Errors
    /// When kas refuses its entry.
    pub fn repo(&self, key: &str) -> Result<KasRepo, RepoFault> {
        repo::resolve(&self.merged, key, &self.places)
    }

    /// Where kas runs.
    #[must_use]
    pub fn places(&self) -> &KasPlaces {
        &self.places
    }
}

/// `<stem>.lock<extension>` beside a kas file, as `pathlib` splits names.
#[must_use]
pub fn lock_path(file: &Path) -> Option<PathBuf> {
    let stem = file.file_stem()?;
    let mut name = stem.to_os_string();
    name.push(".lock");
    if let Some(extension) = file.extension() {
        name.push(".");
        name.push(extension);
    }
    Some(file.with_file_name(name))
}
