//! The gates: images made by the real tools, whole and damaged, with programs for the right machine and
//! for the wrong one.

#![allow(clippy::unwrap_used, reason = "tests")]

mod content;
mod disk;
mod hostile;
mod images;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod world;
