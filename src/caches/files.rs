//! What lies in a cache: files with their sizes and times of last use, read without leaving a trace.
//!
//! Knows BitBake's layout of DL_DIR, nothing of what the files are for.

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::OFlags;

use crate::caches::OURS;
use crate::fs::PathError;

/// Directories of DL_DIR that hold one clone each below them: a clone is used as a whole.
pub(super) const CLONES: &[&str] = &[
    "git", "git2", "hg", "svn", "bzr", "osc", "p4", "repo", "npm2",
];

/// Directories of DL_DIR that hold packages of the archive. Their names tell their architectures, and
/// packages for the build host belong there when one builds for another.
pub(super) const PACKAGES: &[&str] = &["deb", "deb-src"];

/// A file of a cache.
#[derive(Debug, Clone)]
pub struct CacheFile {
    /// Relative to the cache.
    pub name: PathBuf,
    /// Its own metadata, not that of what a link points to.
    pub metadata: Metadata,
}

impl CacheFile {
    /// What it occupies, in bytes; less than its length where it has holes.
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.metadata.blocks().saturating_mul(512)
    }

    /// What is equal for two names of one file.
    #[must_use]
    pub fn identity(&self) -> (u64, u64) {
        (self.metadata.dev(), self.metadata.ino())
    }

    /// When it was last written or, where the file system tells, read. BitBake touches what it uses.
    #[must_use]
    pub fn last_use(&self) -> Timestamp {
        let at = |seconds, nanoseconds: i64| {
            Timestamp::new(seconds, i32::try_from(nanoseconds).unwrap_or(0)).unwrap_or_default()
        };
        let metadata = &self.metadata;
        at(metadata.mtime(), metadata.mtime_nsec()).max(at(metadata.atime(), metadata.atime_nsec()))
    }

    /// Whether it lies directly in one of these directories of the cache, or below.
    pub(super) fn is_below(&self, directories: &[&str]) -> bool {
        let mut parts = self.name.iter();
        let first = parts.next();
        parts.next().is_some()
            && directories
                .iter()
                .any(|directory| first == Some(directory.as_ref()))
    }

    /// Its name as text.
    pub(super) fn text(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

/// All files and links below a directory, ours excepted, in the order of their names. What vanishes
/// meanwhile is left out.
///
/// # Errors
/// What the system answers of a directory.
pub fn list(root: &Path) -> Result<Vec<CacheFile>, PathError> {
    list_without(root, &[])
}

/// The same without what lies below some directories of the cache.
///
/// # Errors
/// The same.
pub(super) fn list_without(root: &Path, skipped: &[&str]) -> Result<Vec<CacheFile>, PathError> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        let directory = root.join(&below);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(PathError::on("list", &directory))?,
        };
        for entry in entries {
            let entry = entry.map_err(PathError::on("list", &directory))?;
            let file_name = entry.file_name();
            if file_name.to_string_lossy().starts_with(OURS) {
                continue;
            }
            let name = below.join(&file_name);
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => {
                    if !skipped.iter().any(|skipped| name == Path::new(skipped)) {
                        waiting.push(name);
                    }
                }
                Ok(metadata) => found.push(CacheFile { name, metadata }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(PathError::on("look at", &root.join(name))(error)),
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// What files occupy together, in bytes; several names of one file count once.
#[must_use]
pub fn occupied<'f>(files: impl IntoIterator<Item = &'f CacheFile>) -> u64 {
    let mut seen = HashSet::new();
    files
        .into_iter()
        .filter(|file| seen.insert(file.identity()))
        .map(CacheFile::allocated)
        .sum()
}

/// Opens a regular file, or one that a link points to, for reading; none where it is neither. The time
/// of its last reading stays, where the file is ours: looking is no use.
///
/// # Errors
/// What the system answers; that it is not there is none.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let with = |flags: OFlags| {
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    let opened = with(OFlags::NOATIME | OFlags::NONBLOCK).or_else(|_| with(OFlags::NONBLOCK));
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// The first bytes of a file, at most `length`; none where there is no regular file.
///
/// # Errors
/// What the system answers.
pub(super) fn head(path: &Path, length: usize) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let mut head = Vec::with_capacity(length);
    file.take(length as u64).read_to_end(&mut head)?;
    Ok(Some(head))
}
