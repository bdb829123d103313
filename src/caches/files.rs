//! Files of a cache, with sizes and times of last use. Reading leaves access times unchanged.
//!
//! Follows BitBake's layout of DL_DIR.

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::OFlags;

use crate::caches::OURS;
use crate::fs::PathError;

/// Directories of DL_DIR that contain one clone in each subdirectory. BitBake uses a clone as a whole.
pub(super) const CLONES: &[&str] = &[
    "git", "git2", "hg", "svn", "bzr", "osc", "p4", "repo", "npm2",
];

/// Directories of DL_DIR that contain packages of the archive. Their names contain the architecture, and
/// packages for the build host belong there in a cross build.
pub(super) const PACKAGES: &[&str] = &["deb", "deb-src"];

/// A file of a cache.
#[derive(Debug, Clone)]
pub struct CacheFile {
    /// Relative to the cache.
    pub name: PathBuf,
    /// Its own metadata; for a link, that of the link.
    pub metadata: Metadata,
}

impl CacheFile {
    /// Its allocated bytes; less than its length if it has holes.
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.metadata.blocks().saturating_mul(512)
    }

    /// The identity of the file; equal for all of its names.
    #[must_use]
    pub fn identity(&self) -> (u64, u64) {
        (self.metadata.dev(), self.metadata.ino())
    }

    /// The time of its last use: the later of modification and, if the file system records it, access. BitBake
    /// touches files that it uses.
    #[must_use]
    pub fn last_use(&self) -> Timestamp {
        let at = |seconds, nanoseconds: i64| {
            Timestamp::new(seconds, i32::try_from(nanoseconds).unwrap_or(0)).unwrap_or_default()
        };
        let metadata = &self.metadata;
        at(metadata.mtime(), metadata.mtime_nsec()).max(at(metadata.atime(), metadata.atime_nsec()))
    }

    /// Whether it is in or below one of these top-level directories of the cache.
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

/// All files and links below a directory, sorted by name, without the tool's own. Skips files that vanish
/// meanwhile.
///
/// # Errors
/// When a directory cannot be read.
pub fn list(root: &Path) -> Result<Vec<CacheFile>, PathError> {
    list_without(root, &[])
}

/// As [`list`], without the files below some directories of the cache.
///
/// # Errors
/// As [`list`].
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

/// The allocated bytes of files together; several names of one file count once.
#[must_use]
pub fn occupied<'f>(files: impl IntoIterator<Item = &'f CacheFile>) -> u64 {
    let mut seen = HashSet::new();
    files
        .into_iter()
        .filter(|file| seen.insert(file.identity()))
        .map(CacheFile::allocated)
        .sum()
}

/// Opens a regular file, or the target of a link, for reading; `None` if it is missing or not regular. The
/// access time stays unchanged if the file belongs to this user, because an inspection is not a use.
///
/// # Errors
/// When the file exists and cannot be opened.
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

/// The first bytes of a file, at most `length`; `None` without a regular file.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn head(path: &Path, length: usize) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let mut head = Vec::with_capacity(length);
    file.take(length as u64).read_to_end(&mut head)?;
    Ok(Some(head))
}
