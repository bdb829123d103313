//! The entries of the journal, and what the intent of a registration holds: everything that is needed
//! to finish it, or to take it back, without the run that wrote it.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exec::Undo;
use crate::model::matrix::VariantKey;
use crate::store::Store;
use crate::store::copy::Stamp;
use crate::store::entries::Before;
use crate::store::{LocalStore, NixStore};
use crate::wsl::Drive;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A run begins.
    RunStarted {
        /// Its id.
        run: String,
        /// Its process.
        pid: u32,
        /// When.
        at: Timestamp,
    },
    /// A build is about to be started.
    BuildStarted {
        /// The run.
        run: String,
        /// The variant.
        variant: VariantKey,
        /// The name of its container, and of the build where there is none.
        name: String,
        /// What ends it, also where nobody knows any more which engine it was.
        undo: Undo,
    },
    /// The build has a process group. For people: a number may be another's by now.
    BuildGroup {
        /// The run.
        run: String,
        /// The build's name.
        name: String,
        /// The group.
        pgid: i32,
    },
    /// Nothing of the build is left.
    BuildEnded {
        /// The run.
        run: String,
        /// The build's name.
        name: String,
    },
    /// Files are about to be captured.
    Capturing {
        /// The run.
        run: String,
        /// The variant.
        variant: VariantKey,
        /// The directory that they are captured into.
        staging: PathBuf,
    },
    /// Files are about to be added to the store.
    Adding {
        /// The run.
        run: String,
        /// The variant.
        variant: VariantKey,
        /// The store.
        store: StorePlace,
        /// Their store paths.
        store_paths: Vec<PathBuf>,
    },
    /// They are added, or given up with nothing of them left half.
    Added {
        /// The run.
        run: String,
        /// The variant.
        variant: VariantKey,
    },
    /// Output entries and hashes are about to change.
    Registering(Registration),
    /// The hashes file has the new entries.
    HashesReplaced {
        /// The run.
        run: String,
        /// The registration's number in the run.
        number: u64,
    },
    /// The registration is recorded: it is complete.
    Registered {
        /// The run.
        run: String,
        /// The registration's number in the run.
        number: u64,
    },
    /// The registration failed and everything is as it was before.
    RolledBack {
        /// The run.
        run: String,
        /// The registration's number in the run.
        number: u64,
    },
    /// Drives of Windows are about to be unmounted.
    DrivesAway {
        /// The run.
        run: String,
        /// The build that needs them away.
        build: String,
        /// The start of the kernel: after the next one they are there by themselves.
        boot: String,
        /// The drives.
        drives: Vec<Drive>,
    },
    /// The build needs them away no more: they are back, or away for another.
    DrivesBack {
        /// The run.
        run: String,
        /// The build.
        build: String,
    },
    /// The run has ended by itself.
    RunEnded {
        /// The run.
        run: String,
    },
}

impl Entry {
    /// The run that wrote it.
    #[must_use]
    pub fn run(&self) -> &str {
        match self {
            Entry::RunStarted { run, .. }
            | Entry::BuildStarted { run, .. }
            | Entry::BuildGroup { run, .. }
            | Entry::BuildEnded { run, .. }
            | Entry::Capturing { run, .. }
            | Entry::Adding { run, .. }
            | Entry::Added { run, .. }
            | Entry::Registering(Registration { run, .. })
            | Entry::HashesReplaced { run, .. }
            | Entry::Registered { run, .. }
            | Entry::RolledBack { run, .. }
            | Entry::DrivesAway { run, .. }
            | Entry::DrivesBack { run, .. }
            | Entry::RunEnded { run } => run,
        }
    }
}

/// What changes together: the output entries and hashes of one variant, or of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The run.
    pub run: String,
    /// Its number in the run.
    pub number: u64,
    /// The hashes file.
    pub hashes_file: PathBuf,
    /// The store that has the files already.
    pub store: StorePlace,
    /// The variants.
    pub variants: Vec<IntendedVariant>,
}

impl Registration {
    /// All artifacts of all its variants.
    pub fn artifacts(&self) -> impl Iterator<Item = &IntendedArtifact> {
        self.variants.iter().flat_map(|variant| &variant.artifacts)
    }
}

/// One variant's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntendedVariant {
    /// The variant.
    pub key: VariantKey,
    /// All its unique names, registered now or not.
    pub names: Vec<String>,
    /// What is registered.
    pub artifacts: Vec<IntendedArtifact>,
}

/// One artifact's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntendedArtifact {
    /// The artifact type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The unique name.
    pub unique_name: String,
    /// The file in the deploy directory.
    pub deploy_name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The entry's hash in the hashes file as it will be: SHA-256 in Nix base32.
    pub nix32: String,
    /// As it was; none where there was no entry.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old_nix32: Option<String>,
    /// Where the file is in the store, and where the output entry will point.
    pub store_path: PathBuf,
    /// The output entry.
    pub link: PathBuf,
    /// What was there.
    pub before: Before,
    /// The state of the file that was captured.
    pub source: Stamp,
}

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StorePlace {
    /// Nix's.
    Nix {
        /// The program `nix-store`.
        program: PathBuf,
        /// The store directory.
        store_dir: PathBuf,
        /// Nix's state directory.
        state_dir: PathBuf,
    },
    /// A directory of ours.
    Local {
        /// The directory.
        dir: PathBuf,
    },
}

impl StorePlace {
    /// That of a store.
    #[must_use]
    pub fn of(store: &Store) -> StorePlace {
        match store {
            Store::Nix(nix) => StorePlace::Nix {
                program: nix.program.clone(),
                store_dir: nix.store_dir.clone(),
                state_dir: nix.state_dir.clone(),
            },
            Store::Local(local) => StorePlace::Local {
                dir: local.dir().to_owned(),
            },
        }
    }

    /// The store that is there.
    #[must_use]
    pub fn store(&self) -> Store {
        match self {
            StorePlace::Nix {
                program,
                store_dir,
                state_dir,
            } => Store::Nix(NixStore {
                store_dir: store_dir.clone(),
                state_dir: state_dir.clone(),
                ..NixStore::new(program.clone())
            }),
            StorePlace::Local { dir } => Store::Local(LocalStore::new(dir.clone())),
        }
    }
}
