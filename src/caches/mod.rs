//! Download and shared-state caches: stamps, locks, audit, pruning.
//!
//! A cache is a directory, with an architecture for downloads. This room has no variants, plans or builds.

pub mod audit;
pub mod files;
pub mod prune;
pub mod recipes;
pub mod stamp;
#[cfg(test)]
mod tests;
pub mod warm;

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::base::arch::Arch;
use crate::base::pattern::Pattern;
use crate::fs::lock::{Holder, LockError};
use crate::fs::use_lock::{Sharing, UseLock};
use crate::fs::{PathError, create_dir};
use crate::settings::Settings;

use crate::caches::audit::Foreign;
use crate::caches::stamp::StampError;

/// How long a run waits for a prune of its cache; a prune lasts seconds.
pub const PRUNE_PATIENCE: Duration = Duration::from_secs(10);

/// The globs of the setting `foreign-downloads`; the settings have validated them.
#[must_use]
pub fn foreign_downloads(settings: &Settings) -> Vec<Pattern> {
    let globs = settings.foreign_downloads.value.iter();
    globs.filter_map(|glob| Pattern::new(glob).ok()).collect()
}

/// The prefix of the tool's own files in a cache.
const OURS: &str = ".isar-build-all.";

/// The purpose of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Downloads of builds for one architecture.
    Downloads(Arch),
    /// Shared state of all builds.
    Sstate,
}

impl Purpose {
    /// The name in lists.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Purpose::Downloads(_) => "downloads",
            Purpose::Sstate => "sstate",
        }
    }

    /// The architecture; `None` for shared state.
    #[must_use]
    pub fn arch(&self) -> Option<Arch> {
        match self {
            Purpose::Downloads(arch) => Some(*arch),
            Purpose::Sstate => None,
        }
    }
}

/// A cache and its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Its purpose.
    pub purpose: Purpose,
    /// Its directory.
    pub path: PathBuf,
}

impl Cache {
    /// The existing caches: those below the downloads root, and the shared-state cache. Two names of one
    /// directory are one cache.
    #[must_use]
    pub fn present(downloads: &Path, sstate: &Path) -> Vec<Cache> {
        let of_archs = Arch::ALL.map(|arch| Cache {
            purpose: Purpose::Downloads(arch),
            path: downloads.join(arch.as_str()),
        });
        let shared = Cache {
            purpose: Purpose::Sstate,
            path: sstate.to_owned(),
        };
        let mut seen = Vec::new();
        of_archs
            .into_iter()
            .chain([shared])
            .filter(|cache| {
                let Ok(place) = cache.path.canonicalize() else {
                    return false;
                };
                let new = place.is_dir() && !seen.contains(&place);
                seen.push(place);
                new
            })
            .collect()
    }

    /// The path of its lock: shared by builds, exclusive for pruning.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.path.join(format!("{OURS}lock"))
    }

    /// Acquires the lock, waiting up to `wait`.
    ///
    /// # Errors
    /// [`LockError::Held`] with the present holder, or an error of the file system.
    pub fn hold(
        &self,
        sharing: Sharing,
        holder: &Holder,
        wait: Duration,
    ) -> Result<UseLock, LockError> {
        UseLock::acquire(&self.lock(), sharing, holder, wait)
    }
}

/// Why a cache cannot be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// A prune has the lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An error of the file system.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Its stamp does not allow it.
    #[error(transparent)]
    Stamp(#[from] StampError),
    /// It contains programs for another architecture.
    #[error("{}", foreign_message(dir, *arch, foreign))]
    Foreign {
        /// The cache.
        dir: PathBuf,
        /// Its architecture.
        arch: Arch,
        /// The programs, at least one.
        foreign: Vec<Foreign>,
    },
}

fn foreign_message(dir: &Path, arch: Arch, foreign: &[Foreign]) -> String {
    let mut message = format!("the download cache {} is for {arch}", dir.display());
    for (number, one) in foreign.iter().take(3).enumerate() {
        let joint = if number == 0 { ", but " } else { "; " };
        message += &format!("{joint}{one}");
    }
    match foreign.len().saturating_sub(3) {
        0 => message,
        more => message + &format!("; and {more} more"),
    }
}

impl CacheError {
    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            CacheError::Lock(error) => error.hint(),
            CacheError::Path(error) => error.hint(),
            CacheError::Stamp(error) => error.hint(),
            CacheError::Foreign { dir, foreign, .. } => {
                let file = dir.join(&foreign.first()?.file);
                let words = [
                    file.display().to_string(),
                    format!("{}.done", file.display()),
                ];
                let quoted = shlex::try_join(words.iter().map(String::as_str)).ok()?;
                Some(format!(
                    "remove it, and it is downloaded again: rm -f {quoted}; if it belongs there, name it in the setting `foreign-downloads`; isar-build-all cache audit shows the recipes that share a name"
                ))
            }
        }
    }
}

/// Caches in use. Until this is dropped, no prune removes anything from them.
#[derive(Debug)]
pub struct InUse {
    _locks: Vec<UseLock>,
}

/// Prepares the caches of a run: creates missing ones, locks them against pruning, and checks that the
/// downloads are for their architecture.
///
/// `foreign` are globs over the names of downloads for any machine.
///
/// # Errors
/// The first cache that cannot be used, and why.
pub fn enter(
    caches: &[Cache],
    foreign: &[Pattern],
    holder: &Holder,
    wait: Duration,
) -> Result<InUse, CacheError> {
    let mut locks = Vec::new();
    for cache in caches {
        create_dir(&cache.path)?;
        locks.push(cache.hold(Sharing::Shared, holder, wait)?);
        let Purpose::Downloads(arch) = cache.purpose else {
            continue;
        };
        // The stamp comes first: the content of another architecture's cache need not be read.
        let stamped = stamp::check(&cache.path, arch)?;
        let found = audit::foreign(&cache.path, arch, foreign)?;
        if !found.is_empty() {
            return Err(CacheError::Foreign {
                dir: cache.path.clone(),
                arch,
                foreign: found,
            });
        }
        if !stamped {
            stamp::take(&cache.path, arch)?;
        }
    }
    Ok(InUse { _locks: locks })
}
