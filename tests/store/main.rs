//! The stores, Nix's through its real programs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod added_backend;
mod bytes;
mod stores;
