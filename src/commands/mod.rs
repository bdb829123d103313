//! Subcommands, one thin file each.

pub mod failure;
pub mod list;
