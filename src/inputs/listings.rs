//! Tree listings: the files of each tree in a recorded key, kept by the tree's hash, so that `explain` can name the
//! files that changed. Without a listing, only the changed tree is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::hex;
use crate::fs::{PathError, create_dir, replace};
use crate::inputs::tree::FileTree;

/// A directory of listings, one file a tree.
#[derive(Debug, Clone)]
pub struct Listings {
    dir: PathBuf,
}

impl Listings {
    /// The listings in `dir`. The directory is created by [`Listings::keep`].
    #[must_use]
    pub fn at(dir: PathBuf) -> Listings {
        Listings { dir }
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.dir.join(hash)
    }

    /// Keeps the listing of a tree.
    ///
    /// # Errors
    /// When the directory or the file cannot be written.
    pub fn keep(&self, tree: &FileTree) -> Result<(), PathError> {
        let path = self.path(&hex::encode(&tree.hash));
        if path.exists() {
            return Ok(());
        }
        create_dir(&self.dir)?;
        replace(&path, text(tree).as_bytes(), None)
    }

    /// Removes all listings except those of `hashes`.
    pub fn keep_only(&self, hashes: &BTreeSet<String>) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !hashes.contains(&name) {
                // A listing that cannot be removed only takes space.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The files that differ between the kept tree with the hash `before` and `now`, each with `changed`, `new` or
    /// `gone`. `None` without a listing.
    #[must_use]
    pub fn differences(&self, before: &str, now: &FileTree) -> Option<Vec<(String, &'static str)>> {
        let old = fs::read_to_string(self.path(before)).ok()?;
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

/// One line a file: kind and hash, a blank, the path.
fn text(tree: &FileTree) -> String {
    tree.files
        .iter()
        .map(|file| {
            format!(
                "{:?}:{} {}\n",
                file.kind,
                hex::encode(&file.hash),
                file.path
            )
        })
        .collect()
}

fn by_path(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(content, path)| (path, content))
        .collect()
}

/// The path of a tree's file for a message: the tree's name and the path in it.
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
    fn a_kept_listing_names_the_files_that_differ() {
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
        let found = listings
            .differences(&hex::encode(&before.hash), &read())
            .unwrap();
        let expected = [
            ("changes", "changed"),
            ("comes to be", "new"),
            ("goes", "gone"),
        ];
        assert_eq!(found, expected.map(|(path, how)| (path.to_owned(), how)));
        listings.keep_only(&BTreeSet::new());
        assert!(
            listings
                .differences(&hex::encode(&before.hash), &read())
                .is_none()
        );
    }
}
