//! A content-addressed directory in place of Nix, under the state directory. Knows nothing of the
//! hashes file.
//!
//! Base names are those that Nix gives in an ordinary installation: the store directory that goes into
//! their hash is `/nix/store`, wherever this one lies, so that a file has the same name in both. An
//! entry appears by a link or a rename, complete, and has mode 0444. A file is still read and
//! compared before the store trusts it: nothing keeps other programs from writing to the directory.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::event::ArtifactOrigin;
use crate::fs::{PathError, create_dir, replace_link, sync_dir};
use crate::settings::{Environment, StoreWord};
use crate::store::backend::{Backend, FoundStore, NoStore, OpenStore, OpenedStore, StoreRun};
use crate::store::copy;
use crate::store::copy::Stop;
use crate::store::error::StoreError;
use crate::store::hashing::Want;
use crate::store::path::{NIX_STORE_DIR, flat_base_name};
use crate::store::place::StorePlace;
use crate::store::{Added, Captured, Hold, Store};

/// The name of the backend.
const NAME: &str = "local";

/// The local store.
#[derive(Debug)]
pub struct LocalBackend;

impl Backend for LocalBackend {
    fn word(&self) -> StoreWord {
        StoreWord {
            name: NAME,
            help: "A content-addressed store in the state directory",
        }
    }

    fn title(&self) -> &'static str {
        "the local store"
    }

    fn is_automatic(&self) -> bool {
        true
    }

    fn find(&self, _: &Environment) -> Result<Box<dyn FoundStore>, NoStore> {
        Ok(Box::new(LocalFound))
    }

    fn reopen(&self, place: &StorePlace) -> Result<Store, StoreError> {
        let dir = place.path("dir");
        let dir = dir.ok_or_else(|| StoreError::Place(place.kind.clone()))?;
        Ok(Store::from(LocalStore::new(dir)))
    }

    fn part_dirs(&self, local: &Path) -> Vec<PathBuf> {
        vec![local.to_owned()]
    }
}

/// The local store before a run opens it; every host can use it.
#[derive(Debug)]
struct LocalFound;

impl FoundStore for LocalFound {
    fn open(&self, run: &StoreRun<'_>) -> OpenedStore {
        OpenedStore {
            store: Store::from(LocalStore::new(run.local.to_owned())),
            note: None,
            undo: None,
        }
    }
}

/// The mode of an entry, as in Nix's store.
const MODE: u32 = 0o444;

/// A store in a directory of this tool.
#[derive(Debug, Clone)]
pub struct LocalStore {
    dir: PathBuf,
}

impl LocalStore {
    /// The store in this directory, which is made when something is added.
    #[must_use]
    pub fn new(dir: PathBuf) -> LocalStore {
        LocalStore { dir }
    }

    /// Whether there is a file with these bytes at `path`; reads it.
    fn has_bytes(&self, path: &Path, sha256: &[u8; 32]) -> Result<bool, StoreError> {
        match path.symlink_metadata() {
            Ok(there) if there.is_file() => {
                Ok(copy::hash(path, Want::Flat, NEVER)?.sums.sha256 == *sha256)
            }
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(PathError::on("read", path)(error).into()),
        }
    }

    /// Gives a staged capture its second name in the store. The first stays until the registration
    /// has ended, so that it can be tried again. False where the file system does not do that.
    fn take(&self, captured: &Captured, store_path: &Path) -> Result<bool, StoreError> {
        let staged = &captured.path;
        fs::set_permissions(staged, fs::Permissions::from_mode(MODE))
            .map_err(PathError::on("set the mode of", staged))?;
        let linked = match fs::hard_link(staged, store_path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // What is there was found to be no good.
                fs::rename(staged, store_path).map_err(PathError::on("replace", store_path))?;
                true
            }
            answer => answer.is_ok(),
        };
        if linked {
            sync_dir(&self.dir)?;
        }
        Ok(linked)
    }

    fn copy(&self, captured: &Captured, store_path: &Path) -> Result<(), StoreError> {
        let dest = copy::Dest {
            mode: Some(MODE),
            ..copy::Dest::at(store_path)
        };
        let (hashed, _) = copy::copy(&captured.path, dest, Want::Flat, NEVER)?;
        if hashed.sums.sha256 == captured.sha256 {
            return Ok(());
        }
        crate::fs::remove(store_path)?;
        Err(StoreError::CaptureChanged(captured.path.clone()))
    }
}

impl OpenStore for LocalStore {
    fn kind(&self) -> &'static str {
        NAME
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn place(&self) -> StorePlace {
        StorePlace::new(NAME, &[("dir", &self.dir)])
    }

    fn path_of(&self, sha256: &[u8; 32], name: &str) -> Result<PathBuf, StoreError> {
        Ok(self.dir.join(flat_base_name(NIX_STORE_DIR, sha256, name)?))
    }

    fn has(&self, _: &Hold, sha256: &[u8; 32], name: &str) -> Result<bool, StoreError> {
        self.has_bytes(&self.path_of(sha256, name)?, sha256)
    }

    fn insert(&self, _: &Hold, captured: &Captured) -> Result<Added, StoreError> {
        let store_path = self.path_of(&captured.sha256, &captured.unique_name)?;
        let same_size = store_path
            .symlink_metadata()
            .is_ok_and(|there| there.len() == captured.bytes);
        if captured.path == store_path
            || (same_size && self.has_bytes(&store_path, &captured.sha256)?)
        {
            return Ok(Added {
                store_path,
                how: ArtifactOrigin::AlreadyValid,
            });
        }
        create_dir(&self.dir)?;
        if !(captured.staged && self.take(captured, &store_path)?) {
            self.copy(captured, &store_path)?;
        }
        Ok(Added {
            store_path,
            how: ArtifactOrigin::Added,
        })
    }

    fn link(&self, _: &Hold, added: &Added, link: &Path) -> Result<(), StoreError> {
        point(&added.store_path, link)
    }

    fn turn_back(&self, _: &Hold, before: &Path, link: &Path) -> Result<(), StoreError> {
        point(before, link)
    }
}

/// Points `link` to `target`, which becomes absolute.
fn point(target: &Path, link: &Path) -> Result<(), StoreError> {
    if link.symlink_metadata().is_ok_and(|there| there.is_dir()) {
        return Err(StoreError::InTheWay(link.to_owned()));
    }
    let target = std::path::absolute(target).map_err(PathError::on("read", target))?;
    Ok(replace_link(&target, link)?)
}

const NEVER: Stop<'static> = &|| false;
