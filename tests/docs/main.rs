//! Committed documents that are generated from the code or name parts of it: settings, schema, CI pipelines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod ci;
mod contributing;
mod prose;
mod schema;
mod settings;
