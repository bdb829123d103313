//! The built binary on the real kas-container, podman, sgdisk and nix-store, with the stand-in for ISAR.
//!
//! `scripts/setup` provides what these need; where it is missing they fail, they do not skip.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod caches;
mod clone_name;
mod contamination;
mod dump;
mod examples;
mod executor;
mod image;
mod lanes;
mod matrix;
mod misbehaviour;
mod project;
mod schema;
mod stopping;
mod storm;
mod wsl;

/// A number from the environment.
#[allow(clippy::disallowed_methods)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}
