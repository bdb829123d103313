//! Stores: keep captured artifacts under paths that contain their hash. Knows nothing of variants and of the text of the
//! hashes file.
//!
//! To add a store is to add a file here and a line in [`BACKENDS`].
//!
//! A registration has two halves, so that the artifacts of a variant change together: first every file is inserted
//! ([`OpenStore::insert`]), which changes no file that was there before; then the output entries are pointed to the store
//! paths ([`OpenStore::link`]). A [`Hold`] from before the first half to the end of the second keeps the garbage collector
//! away in between. All calls block.

pub mod backend;
pub mod choice;
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
pub mod place;
pub mod product;
pub mod products;

use std::fmt;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::store::backend::{Backend, OpenStore};
pub use crate::store::error::StoreError;
pub use crate::store::local::{LocalBackend, LocalStore};
pub use crate::store::nix::{NixBackend, NixStore, WRITER_MARK, writer_mark};

use crate::event::ArtifactOrigin;
use crate::fs::stamp::Stamp;
#[cfg(doc)]
use crate::store::copy::CopyError;

/// The standard stores, in the order in which `auto` tries them.
pub static BACKENDS: &[&dyn Backend] = &[&NixBackend, &LocalBackend];

/// A captured artifact that waits for its registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The artifact type.
    pub kind: String,
    /// The unique name.
    pub unique_name: String,
    /// The name of its file in ISAR's deploy directory.
    pub deploy_name: String,
    /// The complete, synced file.
    pub path: PathBuf,
    /// Apparent size in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// SHA-256 of the Nix archive of the file, where the store compares it.
    pub nar_sha256: Option<[u8; 32]>,
    /// Whether `path` is a capture of this run, which is removed after the registration; else it is an output entry, which
    /// stays.
    pub staged: bool,
    /// The stamp of the file that was read: the deployed one, or the output entry.
    pub source: Stamp,
    /// How the store got it, if it was added while it was hashed.
    pub added: Option<ArtifactOrigin>,
}

/// An open store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<dyn OpenStore>);

/// The start of the name of a directory in a store into which files of a run are copied; the run's id follows.
pub(crate) const STAGING: &str = ".isar-build-all-";

/// How captured files reach a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureWay {
    /// The store reads them in the deploy directory ([`OpenStore::add_in_place`]).
    InPlace,
    /// This program copies them into a staging directory first; the path is that of one in the store itself.
    Staged(Option<PathBuf>),
}

/// The result of adding a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Its store path.
    pub store_path: PathBuf,
    /// Whether it was there before.
    pub how: ArtifactOrigin,
}

/// Keeps the garbage collector of a store away until it is dropped, as far as this user may.
pub struct Hold {
    lock: Option<File>,
    stop: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Hold {
    /// Whether the garbage collector is locked out.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether the work under it is to end with [`CopyError::Stopped`].
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        (self.stop)()
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

impl Deref for Store {
    type Target = dyn OpenStore;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl<S: OpenStore + 'static> From<S> for Store {
    fn from(store: S) -> Store {
        Store(Arc::new(store))
    }
}

impl Store {
    /// Keeps the garbage collector away; waits while one runs.
    ///
    /// # Errors
    /// When the lock can be opened and cannot be locked.
    pub fn hold(&self) -> Result<Hold, StoreError> {
        self.hold_until(|| false)
    }

    /// [`Store::hold`], where the wait and every insertion under it end with [`CopyError::Stopped`] once `stop` is true.
    /// Links are not stopped: they are quick, and half of them are worse than none.
    ///
    /// # Errors
    /// As [`Store::hold`].
    pub fn hold_until(
        &self,
        stop: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Hold, StoreError> {
        let lock = self.lock(&stop)?;
        let stop = Box::new(stop);
        Ok(Hold { lock, stop })
    }

    /// Whether the store has the file with this hash and name, valid and of this size. Does not read it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn has_whole(
        &self,
        hold: &Hold,
        sha256: &[u8; 32],
        name: &str,
        bytes: u64,
    ) -> Result<bool, StoreError> {
        let path = self.path_of(sha256, name)?;
        let is_whole = path
            .symlink_metadata()
            .is_ok_and(|there| there.is_file() && there.len() == bytes);
        Ok(is_whole && self.is_valid(hold, &path)?)
    }

    /// The error for a store path with other content than its name says; `what` describes the content.
    #[must_use]
    pub fn damaged(&self, path: &Path, what: &str) -> StoreError {
        StoreError::Damaged {
            path: path.to_owned(),
            what: what.to_owned(),
            remove: self.remove_command(path),
        }
    }

    /// Whether a path without links in it is in the store.
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        let dir = self.dir();
        let real = std::fs::canonicalize(dir);
        path.starts_with(dir) || real.is_ok_and(|dir| path.starts_with(dir))
    }

    /// Inserts and links one file.
    ///
    /// # Errors
    /// Those of [`Store::hold`], [`OpenStore::insert`] and [`OpenStore::link`].
    pub fn add(&self, captured: &Captured, link: &Path) -> Result<Added, StoreError> {
        let hold = self.hold()?;
        let added = self.insert(&hold, captured)?;
        self.link(&hold, &added, link)?;
        Ok(added)
    }
}
