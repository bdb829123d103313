//! Download and shared state caches: whose they are, who uses them, what is in them, what can go.
//!
//! Knows nothing of variants, plans or builds: an architecture and a directory are all it is told.

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

/// How long a user of a cache waits for a prune, which takes seconds.
pub const PRUNE_PATIENCE: Duration = Duration::from_secs(10);

/// The globs of the setting `foreign-downloads`, which the settings have checked.
#[must_use]
pub fn foreign_downloads(settings: &Settings) -> Vec<Pattern> {
    let globs = settings.foreign_downloads.value.iter();
    globs.filter_map(|glob| Pattern::new(glob).ok()).collect()
}

/// What the names of our own files in a cache begin with.
const OURS: &str = ".isar-build-all.";

/// What a cache is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// What builds for one architecture download.
    Downloads(Arch),
    /// The shared state of all.
    Sstate,
}

impl Purpose {
    /// As lists write it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Purpose::Downloads(_) => "downloads",
            Purpose::Sstate => "sstate",
        }
    }

    /// The architecture, where it has one.
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
    /// What it is for.
    pub purpose: Purpose,
    /// Where it is.
    pub path: PathBuf,
}

impl Cache {
    /// The caches below a root of downloads that are there, and the shared state cache if it is. Two
    /// names of one directory are one cache.
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

    /// The lock that every build holds on it with others, and who removes from it alone.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.path.join(format!("{OURS}lock"))
    }

    /// Takes that lock, waiting for it up to `wait`.
    ///
    /// # Errors
    /// Who holds it, or what the system answers.
    pub fn hold(
        &self,
        sharing: Sharing,
        holder: &Holder,
        wait: Duration,
    ) -> Result<UseLock, LockError> {
        UseLock::acquire(&self.lock(), sharing, holder, wait)
    }
}

/// Why a cache is not used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// Somebody removes from it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The system's answer.
    #[error(transparent)]
    Path(#[from] PathError),
    /// It is another architecture's.
    #[error(transparent)]
    Stamp(#[from] StampError),
    /// A program for another architecture lies in it.
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
    let mut message = format!("the download cache {} is that of {arch}", dir.display());
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
    /// What to do about it.
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
                    "remove it, so that it is downloaded anew: rm -f {quoted}; where it belongs there, name it in the setting `foreign-downloads`; isar-build-all cache audit shows the recipes that share a name"
                ))
            }
        }
    }
}

/// Caches that are in use as long as this lives: nobody removes anything from them.
#[derive(Debug)]
pub struct InUse {
    _locks: Vec<UseLock>,
}

/// Makes the caches that a run is going to use where they are not there, keeps others from removing
/// things from them, and checks that the downloads are for the architecture that they are said to be.
///
/// `foreign` are globs over the names of downloads that may be for any machine.
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
        // First the stamp, then the content: what is another's is not worth reading.
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
