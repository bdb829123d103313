//! The pure heart: matrix, plan, ready set, naming, events. Functions of their inputs alone.
//!
//! Knows nothing of tokio, processes, the file system, the environment or the clock;
//! `tests/architecture.rs` fails when one of these is imported here.

pub mod arch;
pub mod event;
pub mod hashes;
pub mod matrix;
pub mod nar;
pub mod nix32;
pub mod faults;
pub mod kas_tree;
pub mod matrix;
pub mod names;
pub mod outcome;
pub mod pattern;
pub mod plan;
pub mod plan_json;
pub mod read;
pub mod ready;
pub mod store_path;
pub mod schema;
pub mod select;
pub mod shape;
pub mod suggest;
pub mod template;
