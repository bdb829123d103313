//! The matrix: the variants of `variants.toml`, with their names and kas files.
//!
//! [`parse::parse`] turns the text of the file into a [`Matrix`], or into every fault that it has:
//!
//! ```text
//! text -> toml_syntax    faults of TOML syntax
//!      -> structure      keys and types, checked against `shape`
//!      -> document       the file as written, each word with its span
//!      -> catalog        axes, machines and artifact types, resolved
//!      -> expansion      entries of `[[variants]]` to combinations of axis values
//!      -> assembly       a combination to a variant: id, kas chain, artifacts
//!      -> collisions     names that two variants share
//!      -> releases       the files that are published
//! ```
//!
//! Names are templates ([`template`], [`naming`]) of [`variables`]; [`names`] renders them and
//! checks them against [`name_rules`]. [`selection`] narrows a matrix to the globs of the command
//! line; [`schema`] writes the JSON Schema of the file.
//!
//! This room reads no file: `project` does, and `kas` looks for the kas files.

pub mod assembly;
pub mod catalog;
pub mod collisions;
pub mod conditions;
pub mod document;
pub mod expansion;
pub mod fault_tally;
pub mod name_rules;
pub mod names;
pub mod naming;
pub mod parse;
pub mod releases;
pub mod schema;
pub mod selection;
pub mod shape;
pub mod structure;
pub mod template;
pub mod toml_syntax;
pub mod variables;
pub mod variant;

pub use crate::matrix::parse::FILE_NAME;
pub use crate::matrix::variant::{Artifact, Asset, Matrix, Release, Variant, VariantKey};
