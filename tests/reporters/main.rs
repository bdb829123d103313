//! Every reporter on the same hand-made runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod added;
mod choice;
mod ci;
mod hub;
mod live;
mod pictures;
mod records;
mod script;
