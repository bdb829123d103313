//! What trees held, kept by their hash, so that it can be said later which of their files has changed.
//! Knows nothing of who asks. A listing that is missing costs that sentence and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::tree::Tree;
use crate::files::{PathError, create_dir, replace};
use crate::model::store_path::hex;

/// The listings in a directory.
#[derive(Debug, Clone)]
pub struct Listings {
    dir: PathBuf,
}

impl Listings {
    /// Those in `dir`, which is made when one is kept.
    #[must_use]
    pub fn at(dir: PathBuf) -> Listings {
        Listings { dir }
    }

    fn place(&self, hash: &str) -> PathBuf {
        self.dir.join(hash)
    }

    /// Keeps the listing of a tree.
    ///
    /// # Errors
    /// What the system answers.
    pub fn keep(&self, tree: &Tree) -> Result<(), PathError> {
        let place = self.place(&hex(&tree.hash));
        if place.exists() {
            return Ok(());
        }
        create_dir(&self.dir)?;
        replace(&place, text(tree).as_bytes(), None)
    }

    /// Removes every listing but these.
    pub fn keep_only(&self, hashes: &BTreeSet<String>) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !hashes.contains(&name) {
                // One that stays takes a little room.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The files that differ between a tree that was kept and one that is there now, and how: `changed`,
    /// `new`, `gone`. `None` where the listing is not there.
    #[must_use]
    pub fn differences(&self, before: &str, now: &Tree) -> Option<Vec<(String, &'static str)>> {
        let old = fs::read_to_string(self.place(before)).ok()?;
        let (old, new) = (by_path(&old), text(now));
        let new = by_path(&new);
        let mut found = Vec::new();
        for (path, content) in &new {
            match old.get(path) {
                None => found.push(((*path).to_owned(), "new")),
                Some(before) if before != content => found.push(((*path).to_owned(), "changed")),
                Some(_) => {}
            }
        }
        let gone = old.keys().filter(|path| !new.contains_key(*path));
        found.extend(gone.map(|path| ((*path).to_owned(), "gone")));
        Some(found)
    }
}

/// A line a file: what it is and the hash, a blank, the path.
fn text(tree: &Tree) -> String {
    tree.files
        .iter()
        .map(|file| format!("{:?}:{} {}\n", file.what, hex(&file.hash), file.path))
        .collect()
}

fn by_path(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(content, path)| (path, content))
        .collect()
}

/// The file of a layer as one would open it.
#[must_use]
pub fn shown(tree: &str, path: &str) -> String {
    if path.is_empty() {
        tree.to_owned()
    } else {
        Path::new(tree).join(path).display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::cache::HashCache;
    use crate::inputs::tree;

    #[test]
    fn which_files_differ_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let listings = Listings::at(dir.path().join("trees"));
        let root = dir.path().join("layer");
        fs::create_dir(&root).unwrap();
        let read = || tree::read(&root, &[], &mut HashCache::in_memory(|| (0, 0))).unwrap();
        for name in ["stays", "changes", "goes"] {
            fs::write(root.join(name), "1").unwrap();
        }
        let before = read();
        listings.keep(&before).unwrap();
        fs::write(root.join("changes"), "2").unwrap();
        fs::write(root.join("comes to be"), "1").unwrap();
        fs::remove_file(root.join("goes")).unwrap();
        let found = listings.differences(&hex(&before.hash), &read()).unwrap();
        let expected = [
            ("changes", "changed"),
            ("comes to be", "new"),
            ("goes", "gone"),
        ];
        assert_eq!(found, expected.map(|(path, how)| (path.to_owned(), how)));
        listings.keep_only(&BTreeSet::new());
        assert!(listings.differences(&hex(&before.hash), &read()).is_none());
    }
}
