//! variants.toml and the kas files that it names: reading, expansion, selection, messages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod expansion;
mod loading;
mod messages;
mod n3x;
