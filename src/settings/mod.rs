//! Settings: one value of each, and where it came from.
//!
//! Layers, each over the one before: built-in default, the user's file, the `[settings]` table of
//! variants.toml, the environment, the command line. Knows nothing of what the values are used for.
//! This is the one room that reads the environment.
//!
//! A key with a dot, as `wsl.unmount`, is one in a table of its own.
//!
//! In the environment a setting is `ISAR_BUILD_ALL_` and its key in capitals, and some are the variables
//! that other tools know (`DL_DIR`, `NO_COLOR`, …); ours wins over theirs. An empty variable is an unset one. A list
//! in a variable is split as a shell would: at white space and newlines, with quotes and backslashes;
//! `ISAR_BUILD_ALL_ENV` holds `NAME=VALUE` words.

mod choice;
mod environment;
mod fault;
mod file;
mod handbook;
mod kind;
mod layer;
mod layout;
mod resolve;
mod surroundings;
mod table;

pub use choice::{
    BuildSharing, ColorChoice, EngineChoice, Executor, Gate, Holders, HungBuild, IsarMode, Jobs,
    StoreChoice, StoreWrite, SyncGuard, Unmount,
};
pub use environment::Environment;
pub use fault::{Fault, SettingsError};
pub use handbook::markdown;
pub use kind::Age;
pub use layer::{Layer, Overridden, Sourced};
pub use layout::{VariantDirs, build_dir, variant_dirs};
pub use resolve::{LayerFile, LayerInput, Resolution, unknown_variables};
pub use surroundings::{Ci, Surroundings, Terminal};
pub use table::{CommandLine, Entry, OverriddenEntry, SETTINGS, Setting, Settings, json_schema};

/// The variable with the directory below which `proc` and `sys` are read instead of the real ones, for
/// tests.
pub(crate) const SYSTEM_ROOT: &str = "ISAR_BUILD_ALL_SYSTEM_ROOT";

#[cfg(test)]
mod tests;
