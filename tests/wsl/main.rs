//! The guard against a sync that hangs on a Windows drive, on a machine made of files and small programs.
//! tests/vm has the same on a real kernel with real 9p.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod guard;
mod late;
mod ledger;
mod world;
