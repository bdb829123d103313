//! The hashes file: one Nix attribute set from unique names to SHA-256 hashes, edited in place.
//! Text to text; knows nothing of where the file lies or who else writes it.
//!
//! The shape is deliberately narrower than Nix: comments (`#` to the end of the line), blank lines,
//! `{` and `}` on lines of their own, and entries `"<unique name>" = "<52 characters of Nix base32>";`
//! one a line. Whatever else stands in a file would be in danger when we edit it, so such a file is
//! refused with its lines. What is accepted keeps every byte but the hashes that change.

pub mod error;
pub mod file;
pub mod parse;
#[cfg(test)]
mod tests;
pub mod update;

pub use crate::hashes_file::error::{Fault, HashesError};
pub use crate::hashes_file::parse::{Entry, HashesFile, parse};
pub use crate::hashes_file::update::{VariantHashes, update};

/// What a new file starts with, before its first entry.
pub const FRESH: &str = "\
# SHA-256 hashes of the registered artifacts: unique file name to hash in Nix base32.
#
# isar-build-all writes the hashes and adds entries; comments, order and other entries stay as they
# are. By hand: nix-hash --type sha256 --flat --base32 FILE
{
}
";
