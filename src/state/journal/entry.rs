//! The entries of the journal. Each holds everything that recovery needs to finish or undo what it announces, without
//! the run that wrote it.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exec::Undo;
use crate::fs::stamp::Stamp;
use crate::matrix::VariantKey;
use crate::store::entries::Before;
pub use crate::store::place::StorePlace;
use crate::wsl::WindowsDrive;

/// An entry: one line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A run has started.
    RunStarted {
        /// The id of the run.
        run: String,
        /// Its process id.
        pid: u32,
        /// The start time.
        at: Timestamp,
    },
    /// A build is about to start.
    BuildStarted {
        /// The id of the run.
        run: String,
        /// The variant.
        variant: VariantKey,
        /// The name of the build, which is also that of its container.
        name: String,
        /// The commands that end it. They name the engine, so recovery need not find it.
        undo: Undo,
    },
    /// The build has a process group. For people only: another process may have the number by now.
    BuildGroup {
        /// The id of the run.
        run: String,
        /// The build's name.
        name: String,
        /// The group.
        pgid: i32,
    },
    /// The build has ended, and no process or container of it is left.
    BuildEnded {
        /// The id of the run.
        run: String,
        /// The build's name.
        name: String,
    },
    /// Files are about to be captured.
    Capturing {
        /// The id of the run.
        run: String,
        /// The variant.
        variant: VariantKey,
        /// The staging directory.
        staging: PathBuf,
    },
    /// Files are about to be added to the store.
    Adding {
        /// The id of the run.
        run: String,
        /// The variant.
        variant: VariantKey,
        /// The store.
        store: StorePlace,
        /// The store paths, if they are known yet.
        store_paths: Vec<PathBuf>,
    },
    /// The files are added, or given up without a half-written one.
    Added {
        /// The id of the run.
        run: String,
        /// The variant.
        variant: VariantKey,
    },
    /// Output entries and hashes are about to change.
    Registering(Registration),
    /// The hashes file is replaced.
    HashesReplaced {
        /// The id of the run.
        run: String,
        /// The registration's number in the run.
        number: u64,
    },
    /// The registration is recorded, and so complete.
    Registered {
        /// The id of the run.
        run: String,
        /// The registration's number in the run.
        number: u64,
    },
    /// The registration failed and is undone.
    RolledBack {
        /// The id of the run.
        run: String,
        /// The registration's number in the run.
        number: u64,
    },
    /// Windows drives are about to be unmounted.
    DrivesAway {
        /// The id of the run.
        run: String,
        /// The build that they are unmounted for.
        build: String,
        /// The boot id of the kernel: the next boot mounts them.
        boot: String,
        /// The drives.
        drives: Vec<WindowsDrive>,
    },
    /// The build no longer needs them unmounted: they are mounted again, or unmounted for another build.
    DrivesBack {
        /// The id of the run.
        run: String,
        /// The build.
        build: String,
    },
    /// A step is about to do something that its `recover` can finish or undo.
    StepStarted {
        /// The id of the run.
        run: String,
        /// The variant.
        variant: VariantKey,
        /// The kind of the step.
        step: String,
        /// The data for the step's `recover`, in a form of its own.
        payload: serde_json::Value,
    },
    /// Nothing that the step announced is left to recover.
    StepEnded {
        /// The id of the run.
        run: String,
        /// The variant.
        variant: VariantKey,
        /// The kind of the step.
        step: String,
    },
    /// The run has ended normally.
    RunEnded {
        /// The id of the run.
        run: String,
    },
}

impl Entry {
    /// The id of the run that wrote it.
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
            | Entry::StepStarted { run, .. }
            | Entry::StepEnded { run, .. }
            | Entry::RunEnded { run } => run,
        }
    }
}

/// A registration: output entries and hashes of one or more variants that change together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The id of the run.
    pub run: String,
    /// Its number in the run.
    pub number: u64,
    /// The hashes file.
    pub hashes_file: PathBuf,
    /// The store, to which the files are already added.
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

/// The part of one variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntendedVariant {
    /// The variant.
    pub key: VariantKey,
    /// All its unique names, registered now or not.
    pub names: Vec<String>,
    /// The artifacts to register.
    pub artifacts: Vec<IntendedArtifact>,
}

/// The part of one artifact.
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
    /// Its new hash in the hashes file: SHA-256 in Nix base32.
    pub nix32: String,
    /// Its hash before; `None` without an entry.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old_nix32: Option<String>,
    /// Its store path, which becomes the target of the output entry.
    pub store_path: PathBuf,
    /// The output entry.
    pub link: PathBuf,
    /// The output entry before.
    pub before: Before,
    /// The stamp of the file that was captured.
    pub source: Stamp,
}
