//! The gates: images made by the real tools, whole and damaged, with programs for the right machine and
//! for the wrong one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod content;
mod disk;
mod hostile;
mod images;
mod streams;
mod world;
