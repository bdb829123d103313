//! One run: scheduler, processes, the build step, and builds beside each other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod added_step;
mod build_step;
mod calling;
mod parallel;
mod process;
mod running;
mod scheduler;
mod sharing;
mod standstill;
