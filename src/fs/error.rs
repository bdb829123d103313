//! The error of a file operation: what was attempted, on which path, and a hint.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of the file system, with its path.
#[derive(Debug, Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub struct PathError {
    /// The attempted action, as a verb.
    pub doing: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The error.
    pub source: io::Error,
}

impl PathError {
    /// Wraps an error, for `map_err`.
    pub fn on<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> PathError {
        move |source| PathError {
            doing,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    /// The remedy, if the error shows one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let path = self.path.display();
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some(format!("free some disk space: df -h {path}"))
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some(format!("check the permissions: namei -l {path}"))
            }
            _ => None,
        }
    }
}
