//! Settings: one value of each, and where it came from.
//!
//! Layers, each over the one before: built-in default, the user's file, the `[settings]` table of
//! variants.toml, the environment, the command line. Knows nothing of what the values are used for.
//! This is the one room that reads the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

/// Which layer set a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Built in.
    Default,
    /// `$XDG_CONFIG_HOME/isar-build-all/config.toml`.
    User,
    /// `[settings]` of variants.toml.
    Project,
    /// An environment variable.
    Environment,
    /// An option on the command line.
    CommandLine,
}

/// A value with its layer and place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// The layer that set it.
    pub layer: Layer,
    /// The file and line, the variable's name, or the option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// How kas is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Executor {
    /// `kas-container`: kas in a container of its own.
    KasContainer,
    /// `kas` itself: we already run inside a kas-isar image.
    Kas,
}

/// Which container engine is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineChoice {
    /// The first that works: docker, then podman.
    Auto,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

/// In which mode kas-container runs ISAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IsarMode {
    /// A privileged container (`--isar-privileged`, or `--isar` before kas 5.4).
    Privileged,
    /// A rootless container (`--isar-rootless`, kas 5.4 and later).
    Rootless,
}

/// Where captured artifacts are registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreChoice {
    /// Nix where it is installed, else local.
    Auto,
    /// The Nix store.
    Nix,
    /// A content-addressed store in the state directory.
    Local,
}

/// Whether output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColorChoice {
    /// Where the stream is a terminal and `NO_COLOR` is unset.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Every setting. Paths are absolute: relative ones are taken from the directory of the file that
/// sets them (variants.toml's for defaults, the working directory for the command line).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// Journal, locks, records, logs. Default `.isar-build-all`.
    pub state_dir: Sourced<PathBuf>,
    /// Root of the work and build directories of the variants. Default `<state-dir>/build`.
    pub build_root: Sourced<PathBuf>,
    /// Captured artifacts. Default `artifacts`.
    pub output_dir: Sourced<PathBuf>,
    /// The hashes file. Default `artifact-hashes.nix`.
    pub hashes_file: Sourced<PathBuf>,
    /// Root of the download caches, one directory an architecture below it.
    pub dl_dir: Sourced<PathBuf>,
    /// The shared state cache.
    pub sstate_dir: Sourced<PathBuf>,
    /// Reference clones shared by the builds. Default `<state-dir>/repos`.
    pub repo_ref_dir: Sourced<PathBuf>,
    /// How kas is run.
    pub executor: Sourced<Executor>,
    /// The container engine.
    pub engine: Sourced<EngineChoice>,
    /// The mode of the container.
    pub isar_mode: Sourced<IsarMode>,
    /// The container image (`KAS_CONTAINER_IMAGE`); unset is kas-container's own choice.
    pub image: Sourced<Option<String>>,
    /// The kas-container program: a name looked up in PATH, or a path.
    pub kas_container: Sourced<PathBuf>,
    /// The kas program, for executor `kas`.
    pub kas: Sourced<PathBuf>,
    /// Further mounts, `HOST:CONTAINER[:ro]`.
    pub mounts: Sourced<Vec<String>>,
    /// Further arguments for the container engine's `run`.
    pub runtime_args: Sourced<Vec<String>>,
    /// Further arguments for `kas build`.
    pub kas_args: Sourced<Vec<String>>,
    /// Variables set in the container.
    pub env: Sourced<BTreeMap<String, String>>,
    /// Which store.
    pub store: Sourced<StoreChoice>,
    /// Builds at the same time.
    pub jobs: Sourced<u32>,
    /// How long a build may take to stop, in seconds, before it is killed.
    pub stop_timeout: Sourced<u64>,
    /// Colour.
    pub color: Sourced<ColorChoice>,
}
