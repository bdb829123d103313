//! The state directory: its layout, the journal, the records, and run directories.
//!
//! [`journal`] holds what unfinished runs must undo, [`records`] the history in SQLite, [`runs`] the retention of logs.
//! Journal and records block; async code reaches them through a [`handle`].

pub mod handle;
pub mod journal;
pub mod owner;
pub mod records;
pub mod runs;

use std::path::{Path, PathBuf};

use crate::fs::{PathError, create_dir, replace, sync_dir};
use crate::matrix::VariantKey;

/// The state directory, by default `.isar-build-all` beside variants.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// The state directory at `root`; creates and reads nothing.
    #[must_use]
    pub fn at(root: PathBuf) -> StateDir {
        StateDir { root }
    }

    /// Creates it, its directories, and a `.gitignore` that covers all of it.
    ///
    /// # Errors
    /// When something cannot be created.
    pub fn create(&self) -> Result<(), PathError> {
        for dir in [self.root(), &self.locks(), &self.runs()] {
            create_dir(dir)?;
        }
        let ignore = self.root.join(".gitignore");
        if !ignore.exists() {
            replace(&ignore, b"*\n", None)?;
        }
        Ok(())
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of lock files.
    #[must_use]
    pub fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// The lock file `name`.
    #[must_use]
    pub fn lock(&self, name: &str) -> PathBuf {
        self.locks().join(format!("{name}.lock"))
    }

    /// The database of records.
    #[must_use]
    pub fn records(&self) -> PathBuf {
        self.root.join("records.sqlite")
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }

    /// The local store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// The directory of measured build sizes, with one directory a machine.
    #[must_use]
    pub fn sizes(&self) -> PathBuf {
        self.root.join("sizes")
    }

    /// The cache of file hashes for input keys.
    #[must_use]
    pub fn hashes(&self) -> PathBuf {
        self.root.join("hashes.cache")
    }

    /// The listings of the trees in recorded input keys.
    #[must_use]
    pub fn trees(&self) -> PathBuf {
        self.root.join("trees")
    }

    /// The schemas of kas that checks have read.
    #[must_use]
    pub fn schemas(&self) -> PathBuf {
        self.root.join("kas-schemas")
    }

    /// The directory of run directories.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The directory of a run.
    #[must_use]
    pub fn run(&self, run: &str) -> RunDir {
        RunDir {
            root: self.runs().join(run),
        }
    }
}

/// The directory of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// Creates it and, for each variant, the directory of its log.
    ///
    /// # Errors
    /// When something cannot be created.
    pub fn create<'a>(
        &self,
        variants: impl IntoIterator<Item = &'a VariantKey>,
    ) -> Result<(), PathError> {
        create_dir(&self.root)?;
        for key in variants {
            create_dir(crate::fs::parent(&self.log(key)))?;
        }
        sync_dir(&self.root)
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The run's events, JSON lines.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

    /// The log of a variant: every line of its output.
    #[must_use]
    pub fn log(&self, key: &VariantKey) -> PathBuf {
        self.root.join(&key.machine).join(format!("{}.log", key.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_the_state_directory_is_stable() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path().join("deep/state"));
        state.create().unwrap();
        state.create().unwrap();
        let key = VariantKey {
            machine: "qemuamd64".to_owned(),
            id: "base".to_owned(),
        };
        let run = state.run("20260601T120000Z-1");
        run.create([&key]).unwrap();
        std::fs::write(run.log(&key), "").unwrap();
        std::fs::write(run.events(), "").unwrap();
        let paths = [
            state.root().join(".gitignore"),
            state.lock("run"),
            state.records(),
            state.journal(),
            state.store(),
            run.events(),
            run.log(&key),
        ];
        let text = paths.map(|path| path.display().to_string()).join("\n");
        insta::assert_snapshot!(text.replace(dir.path().to_str().unwrap(), "DIR"), @"
        DIR/deep/state/.gitignore
        DIR/deep/state/locks/run.lock
        DIR/deep/state/records.sqlite
        DIR/deep/state/journal.jsonl
        DIR/deep/state/store
        DIR/deep/state/runs/20260601T120000Z-1/events.jsonl
        DIR/deep/state/runs/20260601T120000Z-1/qemuamd64/base.log
        ");
        assert_eq!(
            std::fs::read(state.root().join(".gitignore")).unwrap(),
            b"*\n"
        );
    }
}
