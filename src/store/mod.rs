//! Stores: where captured artifacts are kept under a name that holds their hash. Knows nothing of
//! variants and of the hashes file's text.
//!
//! Registering is in two halves, so that the artifacts of a variant can change together: first every
//! file is put in ([`Store::insert`]), which touches nothing that was there before; then the output
//! entries are turned to them ([`Store::link`]). A [`Hold`] taken before the first half and kept to the
//! end of the second keeps Nix's garbage collector away in between. All of it blocks.

pub mod chunk;
pub mod copy;
pub mod entries;
mod error;
pub mod hashing;
pub mod in_place;
mod local;
pub mod nar;
mod nix;
pub mod path;
pub mod product;
pub mod products;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

pub use crate::store::error::StoreError;
pub use crate::store::local::LocalStore;
pub use crate::store::nix::{NixStore, WRITER_MARK, writer_mark};

use crate::event::ArtifactOrigin;
use crate::fs::stamp::Stamp;
#[cfg(doc)]
use crate::store::copy::CopyError;
use crate::store::hashing::Want;

/// An artifact that was captured and waits for its registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The artifact type.
    pub kind: String,
    /// The unique name.
    pub unique_name: String,
    /// The file in ISAR's deploy directory that it is.
    pub deploy_name: String,
    /// The complete, synced file.
    pub path: PathBuf,
    /// Apparent size in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// SHA-256 of the Nix archive that holds them, where the store compares it.
    pub nar_sha256: Option<[u8; 32]>,
    /// Whether `path` is a capture of this run, which goes once it is in the store, and not an output
    /// entry that stays.
    pub staged: bool,
    /// The state of the file that was read: the deployed one, or the output entry.
    pub source: Stamp,
    /// How it is in the store, where it was put there while it was hashed.
    pub added: Option<ArtifactOrigin>,
}

/// A store.
#[derive(Debug, Clone)]
pub enum Store {
    /// Nix's.
    Nix(NixStore),
    /// A directory of ours.
    Local(LocalStore),
}

/// What the directory in a store begins with that files of a run are copied into; the run's id follows.
pub(crate) const STAGING: &str = ".isar-build-all-";

/// How a store takes files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taking {
    /// From where they lie, by this program.
    InPlace(PathBuf),
    /// From a directory of ours that they are copied into; one in the store itself, where it is given.
    Staged(Option<PathBuf>),
}

/// What came of adding a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Where it is now.
    pub store_path: PathBuf,
    /// Whether it was there before.
    pub how: ArtifactOrigin,
}

/// While it lives, nothing is collected from the store, as far as we may say.
pub struct Hold {
    lock: Option<File>,
    stop: Box<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The word for it: `nix` or `local`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Store::Nix(_) => "nix",
            Store::Local(_) => "local",
        }
    }

    /// The directory that it keeps files in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        match self {
            Store::Nix(store) => &store.store_dir,
            Store::Local(store) => store.dir(),
        }
    }

    /// The hashes that it compares.
    #[must_use]
    pub fn want(&self) -> Want {
        match self {
            Store::Nix(_) => Want::FlatAndNar,
            Store::Local(_) => Want::Flat,
        }
    }

    /// How it takes files of the run `run`.
    #[must_use]
    pub fn taking(&self, run: &str) -> Taking {
        match self {
            Store::Nix(store) if store.direct => Taking::Staged(Some(store.staging(run))),
            Store::Nix(store) => match &store.instantiate {
                Some(program) => Taking::InPlace(program.clone()),
                None => Taking::Staged(None),
            },
            Store::Local(_) => Taking::Staged(None),
        }
    }

    /// The path that a file with this hash and name has, whether or not it is there.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn path_of(&self, sha256: &[u8; 32], name: &str) -> Result<PathBuf, StoreError> {
        match self {
            Store::Nix(store) => store.path_of(sha256, name),
            Store::Local(store) => store.path_of(sha256, name),
        }
    }

    /// Keeps the garbage collector away; waits where one runs.
    ///
    /// # Errors
    /// When the lock cannot be taken although it can be opened.
    pub fn hold(&self) -> Result<Hold, StoreError> {
        self.hold_until(|| false)
    }

    /// As [`Store::hold`]; the waiting, and what is inserted under it, end with [`CopyError::Stopped`]
    /// when `stop` says so. Links are not stopped: they are quick, and half of them are worse than none.
    ///
    /// # Errors
    /// The same.
    pub fn hold_until(
        &self,
        stop: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Hold, StoreError> {
        let lock = match self {
            Store::Nix(store) => store.lock(&stop)?,
            Store::Local(_) => None,
        };
        let stop = Box::new(stop);
        Ok(Hold { lock, stop })
    }

    /// Whether the file with this hash and name is there and can be trusted. For Nix this asks its
    /// database, for the local store it reads the file.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn has(&self, hold: &Hold, sha256: &[u8; 32], name: &str) -> Result<bool, StoreError> {
        let path = self.path_of(sha256, name)?;
        match self {
            Store::Nix(store) => store.is_valid(hold, &path),
            Store::Local(store) => store.has(&path, sha256),
        }
    }

    /// Whether what lies at a store path is complete, as far as the store knows without reading it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn is_valid(&self, hold: &Hold, path: &Path) -> Result<bool, StoreError> {
        match self {
            Store::Nix(store) => store.is_valid(hold, path),
            Store::Local(_) => Ok(path.symlink_metadata().is_ok_and(|there| there.is_file())),
        }
    }

    /// Whether its collector may take what nothing roots, although it is held back as far as we may.
    #[must_use]
    pub fn may_collect(&self, hold: &Hold) -> bool {
        matches!(self, Store::Nix(_)) && hold.lock.is_none()
    }

    /// Puts a file into the store, which takes nothing away from anywhere.
    ///
    /// # Errors
    /// See [`StoreError`]; the store is then as valid as it was.
    pub fn insert(&self, hold: &Hold, captured: &Captured) -> Result<Added, StoreError> {
        match self {
            Store::Nix(store) => store.insert(hold, captured),
            Store::Local(store) => store.insert(captured),
        }
    }

    /// Turns `link` to what was added; in Nix it becomes the GC root. What was at `link`, a file or a
    /// link, is replaced in one instant and not before the new is in the store. The caller holds a
    /// lock under which alone this link is replaced.
    ///
    /// # Errors
    /// See [`StoreError`]; what was at `link` is then there still.
    pub fn link(&self, hold: &Hold, added: &Added, link: &Path) -> Result<(), StoreError> {
        match self {
            Store::Nix(store) => store.link(hold, &added.store_path, link),
            Store::Local(store) => store.link(&added.store_path, link),
        }
    }

    /// Turns a link back to where it pointed before [`Store::link`].
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn turn_back(&self, hold: &Hold, before: &Path, link: &Path) -> Result<(), StoreError> {
        match self {
            Store::Nix(store) => store.turn_back(hold, before, link),
            Store::Local(store) => store.link(before, link),
        }
    }

    /// The error for a path whose content is not what its name says.
    #[must_use]
    pub fn damaged(&self, path: &Path, what: &str) -> StoreError {
        StoreError::Damaged {
            path: path.to_owned(),
            what: what.to_owned(),
            remove: match self {
                Store::Nix(_) => nix::delete_command(path),
                Store::Local(_) => format!("rm {}", path.display()),
            },
        }
    }

    /// Whether a path without links in it lies in the store.
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        let dir = match self {
            Store::Nix(store) => &store.store_dir,
            Store::Local(store) => store.dir(),
        };
        let real = std::fs::canonicalize(dir);
        path.starts_with(dir) || real.is_ok_and(|dir| path.starts_with(dir))
    }

    /// All of it for one file.
    ///
    /// # Errors
    /// Those of [`Store::hold`], [`Store::insert`] and [`Store::link`].
    pub fn add(&self, captured: &Captured, link: &Path) -> Result<Added, StoreError> {
        let hold = self.hold()?;
        let added = self.insert(&hold, captured)?;
        self.link(&hold, &added, link)?;
        Ok(added)
    }
}
