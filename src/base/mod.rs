//! Vocabulary of all rooms: architectures, Nix base32, faults with source spans, hints, globs,
//! failures with exit codes. Imports no other room.

pub mod arch;
pub mod failure;
pub mod fault;
pub mod hex;
pub mod kas_word;
pub mod nix32;
pub mod pattern;
pub mod proc_stat;
pub mod suggest;
