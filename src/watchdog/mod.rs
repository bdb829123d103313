//! The watchdog: reports the activity of a build that has been silent for too long, and kills a build that is
//! proven to hang in the kernel.
//!
//! [`silence_watch`] holds the clock. [`inspector`] takes snapshots of the build's processes, with a child
//! (`proc_reader`) that reads `/proc`; [`snapshot`] parses them; [`hang`] compares two of them and decides
//! whether the build works, waits or hangs. Which silence is too long is decided in `bitbake/silence.rs`.

pub mod hang;
pub mod inspector;
mod proc_reader;
pub mod silence_watch;
pub mod snapshot;

pub use crate::watchdog::proc_reader::main;

/// The hidden subcommand whose arguments the binary must pass to [`main`].
pub const SUBCOMMAND: &str = "internal-processes";
