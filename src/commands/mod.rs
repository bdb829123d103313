//! Subcommands, one thin file each.

pub mod list;
