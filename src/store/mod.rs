//! store
pub mod copy;
pub mod hashing;
