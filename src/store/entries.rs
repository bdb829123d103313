//! Output entries: the state of a path, pointing it to the store, and pointing it back. Knows nothing of the reasons.
//!
//! A file that is in an output entry's place keeps a second name, `<entry>.kept.part`, until the turn
//! is settled, so that it can be given back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fs::{PathError, parent, remove, sync_dir, with_suffix};
use crate::store::{Added, Hold, Store, StoreError};

/// The state of an output entry's path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "snake_case")]
pub enum Before {
    /// Nothing.
    Nothing,
    /// A symbolic link.
    Link {
        /// Its text.
        target: PathBuf,
    },
    /// Something else, as a file that was put there by hand.
    File,
}

impl Before {
    /// The present state.
    ///
    /// # Errors
    /// The error of the system, except that the path is absent.
    pub fn of(link: &Path) -> Result<Before, PathError> {
        match link.symlink_metadata() {
            Ok(there) if there.is_symlink() => fs::read_link(link)
                .map(|target| Before::Link { target })
                .map_err(PathError::on("read", link)),
            Ok(_) => Ok(Before::File),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Before::Nothing),
            Err(error) => Err(PathError::on("read", link)(error)),
        }
    }

    /// Whether it is a link with this text.
    #[must_use]
    pub fn is_link_to(&self, path: &Path) -> bool {
        matches!(self, Before::Link { target } if target == path)
    }
}

/// The second name of a file whose place a link takes.
#[must_use]
pub fn kept(link: &Path) -> PathBuf {
    with_suffix(link, ".kept.part")
}

/// Turns an output entry to what was added; `before` is what is there.
///
/// # Errors
/// See [`StoreError`]; what was there is there still.
pub fn turn(
    store: &Store,
    hold: &Hold,
    added: &Added,
    link: &Path,
    before: &Before,
) -> Result<(), StoreError> {
    let is_file = link.symlink_metadata().is_ok_and(|there| there.is_file());
    if *before == Before::File && is_file {
        let kept = kept(link);
        remove(&kept)?;
        fs::hard_link(link, &kept).map_err(PathError::on("link", &kept))?;
        sync_dir(parent(link))?;
    }
    store.link(hold, added, link)
}

/// Turns an output entry back to what it was, if it still points to `after`.
///
/// # Errors
/// See [`StoreError`].
pub fn turn_back(
    store: &Store,
    hold: &Hold,
    link: &Path,
    before: &Before,
    after: &Path,
) -> Result<(), StoreError> {
    if Before::of(link)?.is_link_to(after) && !before.is_link_to(after) {
        match before {
            Before::Nothing => remove(link)?,
            Before::Link { target } => store.turn_back(hold, target, link)?,
            Before::File => {
                fs::rename(kept(link), link).map_err(PathError::on("put back", link))?;
            }
        }
        sync_dir(parent(link))?;
    }
    Ok(settle(link)?)
}

/// Removes the second name: the entry will not be turned back any more.
///
/// # Errors
/// The error of the system.
pub fn settle(link: &Path) -> Result<(), PathError> {
    remove(&kept(link))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ArtifactOrigin;
    use crate::store::LocalStore;

    #[test]
    fn whatever_was_there_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::from(LocalStore::new(dir.path().join("store")));
        let hold = store.hold().unwrap();
        let after = dir.path().join("store/new");
        let added = Added {
            store_path: after.clone(),
            how: ArtifactOrigin::Added,
        };
        let file = dir.path().join("file");
        fs::write(&file, "by hand").unwrap();
        let linked = dir.path().join("linked");
        std::os::unix::fs::symlink("/old", &linked).unwrap();
        for link in [&file, &linked, &dir.path().join("nothing")] {
            let before = Before::of(link).unwrap();
            turn(&store, &hold, &added, link, &before).unwrap();
            assert!(Before::of(link).unwrap().is_link_to(&after));
            for _ in 0..2 {
                turn_back(&store, &hold, link, &before, &after).unwrap();
                assert_eq!(Before::of(link).unwrap(), before);
            }
            // What somebody has changed since is left.
            turn(&store, &hold, &added, link, &before).unwrap();
            remove(link).unwrap();
            std::os::unix::fs::symlink("/newer", link).unwrap();
            turn_back(&store, &hold, link, &before, &after).unwrap();
            assert!(Before::of(link).unwrap().is_link_to(Path::new("/newer")));
            assert!(!kept(link).exists());
            remove(link).unwrap();
            if before == Before::File {
                fs::write(link, "by hand").unwrap();
            }
        }
    }
}
