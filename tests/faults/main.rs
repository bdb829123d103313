//! Faults on purpose: the tool is killed at random instants, many processes write one file, disks are
//! full, builds leave what is not theirs. What is registered must be right, whatever happens.
//!
//! `ISAR_FAULTS_KILLS` (40), `ISAR_FAULTS_UPDATES` (1000) and `ISAR_FAULTS_ENOSPC` (12) say how much of
//! it; `ISAR_FAULTS_SEED` repeats a fresh seed that was printed. `scripts/faults` runs it all at full size.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod full_disk;
mod hostile;
mod instants;
mod orphans;
mod recover;
mod refusals;
mod storm;
mod together;
mod world;
mod writers;

/// A number from the environment.
fn scale(name: &str, default: u64) -> u64 {
    number(name).unwrap_or(default)
}

#[allow(clippy::disallowed_methods)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}
