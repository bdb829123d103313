//! The pure heart: matrix, plan, ready set, naming, events. Functions of their inputs alone.
//!
//! Knows nothing of tokio, processes, the file system, the environment or the clock;
//! `tests/architecture.rs` fails when one of these is imported here.

pub mod arch;
pub mod console;
pub mod event;
pub mod hashes;
pub mod matrix;
pub mod nar;
pub mod nix32;
pub mod outcome;
pub mod plan;
pub mod ready;
pub mod store_path;
