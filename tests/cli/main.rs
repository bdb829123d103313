//! The built binary from the command line, with fakes for kas-container, podman and sudo.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod asking;
mod subcommand;
mod surroundings;
