//! Faults on purpose: the tool is killed at random instants, and many processes write one file. What is
//! left must be right, whatever the instant.
//!
//! `ISAR_FAULTS_KILLS` (40) and `ISAR_FAULTS_UPDATES` (1000) say how much of it; `ISAR_FAULTS_SEED`
//! repeats a fresh seed that was printed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[path = "../common/mod.rs"]
mod common;
mod instants;
#[path = "../cli/project.rs"]
#[allow(dead_code)]
mod project;
mod recover;
mod storm;
mod together;
mod world;
mod writers;

/// A number from the environment.
#[allow(clippy::disallowed_methods)]
fn scale(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}
