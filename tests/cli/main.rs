//! The built binary from the command line, with fakes for kas-container, podman and sudo: fast, and about
//! everything but the container.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod asking;
mod caches;
mod calling;
mod clearing;
#[path = "../common/mod.rs"]
mod common;
mod parallel;
mod products;
mod project;
mod running;
mod sharing;
mod skipping;
mod skipping_proof;
mod stale;
mod surroundings;
mod taking;
