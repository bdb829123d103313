//! From a deploy directory to the store, the output directory and the hashes file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod added_product;
mod compress;
mod hashes_file;
mod hashes_nix;
mod in_place;
mod nix_library;
mod nothing_captured;
mod products;
mod stale;
mod steps;
mod taking;
mod world;
