//! kas files: the files that a chain reads, and their repositories, layers and variables.
//!
//! [`read`] follows all chains of a matrix and returns plain data ([`tree::KasTree`]) with every fault. [`config`] reads
//! one chain exactly as kas does: its files in order, merged, and the resulting repositories; [`yaml`] reads one file.
//! [`chain_check`] reports chains that kas would refuse, by kas's own [`schema`] and its rules.

pub mod apt_snapshot;
pub mod chain_check;
pub mod config;
mod content;
mod cycles;
pub mod dump;
mod paths;
mod reader;
pub mod schema;
pub mod tree;
pub mod yaml;

pub use crate::kas::paths::{relative, repository_root};
pub use crate::kas::reader::read;

/// The directories that a kas file uses as layers of its own repository, relative to that repository's root. The
/// root itself is the empty string.
#[must_use]
pub fn own_layers(source: &str) -> Vec<String> {
    content::own_layers(source)
}
