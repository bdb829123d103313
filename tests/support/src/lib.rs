//! Support of the integration tests, a crate so that it is compiled once for all suites.
//!
//! Fakes are real executables, in `fakes/`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::new_without_default,
    reason = "test code"
)]

pub mod building;
pub mod counts;
mod files;
mod nix;
pub mod pinned;
mod process;
pub mod project;
pub mod random;
pub mod steps;

pub use files::{environment, names_in, root, script, tool};
pub use nix::PrivateNix;
pub use process::{
    command_line, eventually, is_watcher, kill, lives, output, parent_of, pid_in, pids, watcher_of,
};
