//! The traits of a store. To add a store is to add a file with a type that implements [`Backend`], and a line in
//! [`BACKENDS`](crate::store::BACKENDS).
//!
//! A store goes through three states: the [`Backend`] exists in every process, [`FoundStore`] is a store that this host
//! can use, and [`OpenStore`] is that store with everything that a run needs to write to it.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::event::ArtifactOrigin;
use crate::exec::Undo;
use crate::settings::{Environment, StoreChoice, StoreWord, StoreWrite};
use crate::store::copy::Hashed;
use crate::store::error::StoreError;
use crate::store::hashing::Want;
use crate::store::in_place::{FileInPlace, Go};
use crate::store::place::StorePlace;
use crate::store::{Added, CaptureWay, Captured, Hold, Store};
use crate::tools::{ToolNote, Version};

/// A kind of store.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Its name in the settings, the journal and the records, without white space, and its meaning.
    fn word(&self) -> StoreWord;

    /// Its name in messages, such as `the local store`.
    fn title(&self) -> &'static str;

    /// Whether the setting `auto` may choose it.
    fn is_automatic(&self) -> bool {
        false
    }

    /// Looks for the store on this host. May start programs; each has a time limit.
    ///
    /// # Errors
    /// Why this host cannot use it.
    fn find(&self, environment: &Environment) -> Result<Box<dyn FoundStore>, NoStore>;

    /// Opens the store that a journal names, without looking for programs.
    ///
    /// # Errors
    /// [`StoreError::Place`] when a field is missing.
    fn reopen(&self, place: &StorePlace) -> Result<Store, StoreError>;

    /// The links that keep files of the store from being collected; `None` where it has no garbage collector. `record` is
    /// the [`OpenStore::record`] of the store.
    fn roots(&self, record: &str) -> Option<GcRoots> {
        let _ = record;
        None
    }

    /// The directories whose `.part` files are of runs of one state directory; `local` is that directory's own store.
    fn part_dirs(&self, local: &Path) -> Vec<PathBuf> {
        let _ = local;
        Vec::new()
    }

    /// The line of `doctor` about the store; `None` where there is nothing to say. May start programs.
    fn examine(&self, choice: &StoreChoice, environment: &Environment) -> Option<StoreFinding> {
        let _ = (choice, environment);
        None
    }
}

/// A store that this host can use.
pub trait FoundStore: Send + Sync + fmt::Debug {
    /// Opens it for one run.
    fn open(&self, run: &StoreRun<'_>) -> OpenedStore;
}

/// An open store. All methods block.
pub trait OpenStore: Send + Sync + fmt::Debug {
    /// The name of its backend.
    fn kind(&self) -> &'static str;

    /// The store directory.
    fn dir(&self) -> &Path;

    /// Its entry in the journal, from which [`Backend::reopen`] opens it again.
    fn place(&self) -> StorePlace;

    /// Its text in the records: the name of its backend, and after a blank what tells it from others of that backend.
    fn record(&self) -> String {
        self.kind().to_owned()
    }

    /// The hashes that it compares.
    fn want(&self) -> Want {
        Want::Flat
    }

    /// How files of the run with this id reach the store.
    fn capture_way(&self, run: &str) -> CaptureWay {
        let _ = run;
        CaptureWay::Staged(None)
    }

    /// The store path of a file with this hash and name, present or not.
    ///
    /// # Errors
    /// When the name is not valid in the store.
    fn path_of(&self, sha256: &[u8; 32], name: &str) -> Result<PathBuf, StoreError>;

    /// Locks the garbage collector out, waiting while one runs; `None` where no lock is needed or may be opened.
    ///
    /// # Errors
    /// When the lock can be opened and not be locked, or `stop` ended the wait.
    fn lock(&self, stop: &(dyn Fn() -> bool + Sync)) -> Result<Option<std::fs::File>, StoreError> {
        let _ = stop;
        Ok(None)
    }

    /// Whether the file with this hash and name is present and can be trusted.
    ///
    /// # Errors
    /// When the store does not answer.
    fn has(&self, hold: &Hold, sha256: &[u8; 32], name: &str) -> Result<bool, StoreError>;

    /// Whether the file at a store path is complete, as far as the store knows without reading it.
    ///
    /// # Errors
    /// When the store does not answer.
    fn is_valid(&self, hold: &Hold, path: &Path) -> Result<bool, StoreError> {
        let _ = hold;
        Ok(path.symlink_metadata().is_ok_and(|there| there.is_file()))
    }

    /// Whether the garbage collector may remove unrooted files despite `hold`.
    fn may_collect(&self, hold: &Hold) -> bool {
        let _ = hold;
        false
    }

    /// Adds a file, and changes nothing else.
    ///
    /// # Errors
    /// See [`StoreError`]; the store is then as valid as before.
    fn insert(&self, hold: &Hold, captured: &Captured) -> Result<Added, StoreError>;

    /// Hashes a file and adds it at the same time, without a copy beside the store; the addition waits for `go`. Only for
    /// stores with [`CaptureWay::InPlace`].
    ///
    /// # Errors
    /// See [`StoreError`]; a file that changed is [`CopyError::Changed`](crate::store::copy::CopyError::Changed).
    fn add_in_place(
        &self,
        hold: &Hold,
        file: &FileInPlace<'_>,
        go: &Go,
    ) -> Result<(Hashed, ArtifactOrigin), StoreError> {
        let _ = (hold, go);
        Err(StoreError::NotInPlace(file.source.to_owned()))
    }

    /// Points `link` to an added file and protects it from the garbage collector. Replaces a file or link at `link`
    /// atomically. The caller holds the lock under which alone this link changes.
    ///
    /// # Errors
    /// See [`StoreError`]; `link` is then as before.
    fn link(&self, hold: &Hold, added: &Added, link: &Path) -> Result<(), StoreError>;

    /// Points `link` to `before`, its target before [`OpenStore::link`].
    ///
    /// # Errors
    /// See [`StoreError`].
    fn turn_back(&self, hold: &Hold, before: &Path, link: &Path) -> Result<(), StoreError>;

    /// The directories in the store with files that killed processes of this user were writing. May wait some seconds.
    fn half_written(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// The command that removes a store path.
    fn remove_command(&self, path: &Path) -> String {
        format!("rm {}", path.display())
    }
}

/// The run that a store is opened for.
#[derive(Debug, Clone, Copy)]
pub struct StoreRun<'a> {
    /// The id of the run.
    pub id: &'a str,
    /// The state directory.
    pub state_dir: &'a Path,
    /// The directory of the local store, in the state directory.
    pub local: &'a Path,
    /// The setting `store-write`.
    pub write: StoreWrite,
}

/// An opened store.
#[derive(Debug)]
pub struct OpenedStore {
    /// The store.
    pub store: Store,
    /// A warning about the way in which it is written.
    pub note: Option<ToolNote>,
    /// The undo of the programs that write into it; `None` where none is started.
    pub undo: Option<Undo>,
}

/// The reason why a host cannot use a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoStore {
    /// The reason, as the end of a sentence.
    pub why: String,
    /// A remedy.
    pub hint: Option<String>,
    /// The remedies where the settings name this store.
    pub remedy: String,
}

/// A line of `doctor` about a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFinding {
    /// The name of the check, such as `nix-store`.
    pub name: &'static str,
    /// The verdict.
    pub verdict: StoreVerdict,
    /// The program of the store and its version.
    pub program: Option<(PathBuf, Version)>,
    /// The message.
    pub message: String,
    /// A remedy.
    pub hint: Option<String>,
}

/// The verdict of a [`StoreFinding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreVerdict {
    /// No build is in danger.
    Good,
    /// Builds work, and most likely not as intended.
    Doubtful,
    /// No build can register its artifacts.
    Unusable,
}

/// The links that keep files of a store from being collected.
#[derive(Debug, Clone, Default)]
pub struct GcRoots {
    /// The paths of the links.
    pub links: HashSet<PathBuf>,
    /// The collector in messages, such as `Nix's garbage collector`.
    pub collector: &'static str,
}
