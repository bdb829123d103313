//! A variant's chain of kas files with its repositories, and their locations on this host.

use std::io;
use std::path::{Path, PathBuf};

use crate::bitbake::console::Mounts;
use crate::fs::PathError;
use crate::kas::config::{KasConfig, KasRepo};
use crate::settings::VariantDirs;

/// The locations of a variant's repositories on this host.
pub(super) struct RepoLocations {
    /// The root of the kas files' repository.
    pub(super) root: PathBuf,
    pub(super) dirs: VariantDirs,
    /// The mounts of kas's container; `None` when kas runs without a container.
    pub(super) mounts: Option<Mounts>,
}

impl RepoLocations {
    /// The host path of a repository's directory as a chain names it, which may be a path of the container.
    pub(super) fn host(&self, path: &Path) -> PathBuf {
        let below_work = path.strip_prefix(&self.dirs.work).is_ok();
        if below_work || path.starts_with(&self.root) {
            return path.to_owned();
        }
        let mapped = self
            .mounts
            .as_ref()
            .zip(path.to_str())
            .and_then(|(mounts, path)| mounts.host(path));
        mapped.map_or_else(|| path.to_owned(), PathBuf::from)
    }

    /// The path of `name` in a local repository.
    ///
    /// # Errors
    /// When a path that may exist in the container alone is not on the host: its content is unknown.
    pub(super) fn below(&self, repo: &KasRepo, name: &str) -> Result<PathBuf, PathError> {
        let is_absolute = Path::new(name).is_absolute();
        let path = match is_absolute {
            true => self.host(Path::new(name)),
            false => repo.path.join(name),
        };
        if (is_absolute || repo.path != self.root) && !path.exists() {
            let missing = io::Error::from(io::ErrorKind::NotFound);
            return Err(PathError::on("read", &path)(missing));
        }
        Ok(path)
    }
}

/// A chain with its repositories, sorted by key; their paths are those of the host.
#[derive(Debug, Clone)]
pub(super) struct ResolvedChain {
    pub(super) config: KasConfig,
    pub(super) repos: Vec<KasRepo>,
    /// The mounts of kas's container; `None` when kas runs without a container.
    pub(super) mounts: Option<Mounts>,
}

impl ResolvedChain {
    pub(super) fn repo(&self, key: &str) -> Option<&KasRepo> {
        self.repos.iter().find(|repo| repo.key == key)
    }
}
