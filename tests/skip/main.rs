//! The skip decision, on the built binary: which change of an input builds what, and which proof a skip needs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod inputs;
mod kas_dump;
mod kas_reading;
mod proof;
