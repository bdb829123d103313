//! Files that appear whole or not at all: part files, atomic replacement, syncs; stamps, holes, locks.

pub mod checked_replace;
mod error;
pub mod holes;
pub mod lock;
mod part_file;
mod paths;
mod replace;
pub mod stamp;
pub mod use_lock;

pub use crate::fs::error::PathError;
pub use crate::fs::lock::try_lock;
pub use crate::fs::part_file::PartFile;
pub use crate::fs::paths::{create_dir, is_at, parent, remove, sync_dir, with_suffix};
pub use crate::fs::replace::{replace, replace_link};
