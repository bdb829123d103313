//! The roots of Nix's garbage collector, read from its state directory without starting Nix.
//!
//! For an output entry, which is outside of the store's own directory, Nix makes an *indirect* root: a link in
//! `gcroots/auto` whose text is the entry's path (nix-store(1), `--indirect`). When the project is moved, that link
//! dangles, and the collector may remove the store path although the entry points to it.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The entries that are indirect roots.
#[derive(Debug, Default)]
pub(crate) struct GcRoots {
    entries: HashSet<PathBuf>,
}

impl GcRoots {
    /// Reads the roots of a Nix state directory; empty when they cannot be read.
    pub(crate) fn read(state_dir: &Path) -> GcRoots {
        let entries = fs::read_dir(state_dir.join("gcroots/auto"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .collect();
        GcRoots { entries }
    }

    /// Whether `entry` is a root.
    pub(crate) fn has(&self, entry: &Path) -> bool {
        self.entries.contains(entry)
    }
}
