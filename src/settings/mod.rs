//! Settings: for each, one value and the place that set it.
//!
//! The layers, each over the one before: the built-in default, the user's file, `[settings]` of
//! variants.toml, the environment, the command line. No other room reads the environment.
//!
//! A setting is added in [`table`]. Its variable is `ISAR_BUILD_ALL_` and the key in capitals; some
//! settings have aliases that other tools read too (`DL_DIR`, `NO_COLOR`), which count less. An
//! empty variable is unset.

mod choices;
mod defaults;
mod environment;
mod fault;
mod file;
mod handbook;
mod json_schema;
mod kinds;
mod layer;
mod layout;
mod resolve;
mod setting;
mod surroundings;
mod table;
#[cfg(test)]
mod tests;

pub use crate::settings::choices::{
    BuildSharing, ColorChoice, DriveUsers, EngineChoice, ExecutorChoice, GateChoice, HungBuild,
    IsarMode, Jobs, StoreChoice, StoreWord, StoreWrite, SyncGuard, UnmountMode,
};
pub use crate::settings::environment::Environment;
pub use crate::settings::fault::{SettingsError, SettingsFault};
pub use crate::settings::handbook::markdown;
pub use crate::settings::json_schema::json_schema;
pub use crate::settings::kinds::Age;
pub use crate::settings::layer::{Layer, Overridden, Sourced};
pub use crate::settings::layout::{VariantDirs, build_dir, download_dir, output_dir, variant_dirs};
pub use crate::settings::resolve::{LayerFile, LayerInput, Resolution, unknown_variables};
pub use crate::settings::setting::{OverriddenSetting, Setting, SettingEntry};
pub use crate::settings::surroundings::{Ci, Surroundings, Terminal};
pub use crate::settings::table::{CommandLine, SETTINGS, Settings};
