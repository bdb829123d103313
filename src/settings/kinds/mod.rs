//! The kinds of values that a setting can have.
//!
//! Each kind reads a value from TOML and from a variable, makes relative paths absolute, prints the
//! value and describes it as a JSON Schema. [`kind`] has the trait; the other files implement it.

mod age;
mod choice;
mod globs;
mod jobs;
mod kind;
mod number;
mod paths;
mod store;
mod words;

pub use crate::settings::kinds::age::Age;
pub(crate) use crate::settings::kinds::age::AgeKind;
pub(crate) use crate::settings::kinds::choice::{ChoiceKind, ChoiceListKind};
pub(crate) use crate::settings::kinds::globs::{GlobListKind, PathGlobListKind};
pub(crate) use crate::settings::kinds::jobs::JobsKind;
pub(crate) use crate::settings::kinds::kind::{PathBase, SettingKind};
pub(crate) use crate::settings::kinds::number::NumberKind;
pub(crate) use crate::settings::kinds::paths::{
    MountListKind, PathKind, PathListKind, ProgramKind,
};
pub(crate) use crate::settings::kinds::store::StoreKind;
pub(crate) use crate::settings::kinds::words::{VariablesKind, WordKind, WordListKind};
