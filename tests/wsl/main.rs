//! The guard against a sync that hangs on a Windows drive, on a machine made of files and small programs.
//! tests/vm has the same on a real kernel with real 9p.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that fails says where"
)]

#[path = "../common/mod.rs"]
mod common;
mod guard;
mod late;
mod ledger;
#[path = "../support/mod.rs"]
mod support;
mod world;
