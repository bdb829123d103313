//! Plans: the ready set, its order, the simulator, and variants that share a build directory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod collide;
mod list;
mod ready_set;
mod simulate;
