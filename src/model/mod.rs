//! The pure heart: matrix, plan, ready set, naming, events. Functions of their inputs alone.
//!
//! Knows nothing of tokio, processes, the file system, the environment or the clock;
//! `tests/architecture.rs` fails when one of these is imported here.

pub mod affinity;
pub mod arch;
pub mod collide;
pub mod console;
pub mod event;
pub mod executable;
pub mod faults;
pub mod format;
pub mod hang;
pub mod hashes;
pub mod kas_repos;
pub mod kas_tree;
pub mod key;
pub mod matrix;
pub mod mountinfo;
pub mod names;
pub mod nar;
pub mod need;
pub mod nix32;
pub mod order;
pub mod outcome;
pub mod pattern;
pub mod plan;
pub mod plan_json;
pub mod processes;
pub mod product;
pub mod read;
pub mod ready;
pub mod schema;
pub mod select;
pub mod shape;
pub mod silence;
pub mod simulate;
pub mod skip;
pub mod src_uri;
pub mod store_path;
pub mod suggest;
pub mod template;
pub mod threads;
