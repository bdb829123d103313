//! The hashes file: one Nix attribute set from unique names to SHA-256 hashes, edited in place.
//!
//! The accepted shape is deliberately narrower than Nix: comments (`#` to the end of the line), blank lines,
//! `{` and `}` on lines of their own, and entries `"<unique name>" = "<52 characters of Nix base32>";`, one a
//! line. An edit could damage any other content, so a file with other lines is refused, with those lines. An
//! edit keeps every byte except the changed hashes.

pub mod error;
pub mod file;
pub mod parse;
#[cfg(test)]
mod tests;
pub mod update;

pub use crate::hashes_file::error::{HashesError, HashesFault};
pub use crate::hashes_file::parse::{HashEntry, ParsedHashes, parse};
pub use crate::hashes_file::update::{VariantHashes, update};

/// The head of a new file, before its first entry.
pub const FRESH: &str = "\
# SHA-256 hashes of the registered artifacts: unique file name to hash in Nix base32.
#
# isar-build-all writes the hashes and adds entries; comments, order and other entries stay as they
# are. By hand: nix-hash --type sha256 --flat --base32 FILE
{
}
";
