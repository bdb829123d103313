//! The roots of Nix's garbage collector, read without Nix. Knows nothing of what is rooted.
//!
//! For an output entry outside of its own directory Nix makes an *indirect* root: a link in
//! `gcroots/auto` whose text is the entry's path (nix-store(1), `--indirect`). Where the project has been
//! moved, that link leads nowhere, and nothing keeps the store path although the entry points to it.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The entries that the collector knows.
#[derive(Debug, Default)]
pub(super) struct Roots {
    entries: HashSet<PathBuf>,
}

impl Roots {
    /// Those of a Nix state directory; none where they cannot be read.
    pub(super) fn read(state_dir: &Path) -> Roots {
        let entries = fs::read_dir(state_dir.join("gcroots/auto"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .collect();
        Roots { entries }
    }

    pub(super) fn has(&self, entry: &Path) -> bool {
        self.entries.contains(entry)
    }
}
