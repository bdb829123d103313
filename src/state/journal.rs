//! The journal: what a run is about to do, on the disk before it is done, so that the next start can
//! finish it or take it back. Knows nothing of how either is done.
//!
//! JSON lines, appended. An entry that something irreversible follows is synced first
//! ([`Journal::intend`]); one that only says that it is done need not be ([`Journal::note`]), because
//! to recover twice does no harm. A run writes and rewrites it under the run lock alone. A line that was
//! torn, by a death or by a full disk, counts for nothing: what it announces was not done.

mod entry;
mod unfinished;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;

pub use entry::{Entry, IntendedArtifact, IntendedVariant, Registration, StorePlace};
pub use unfinished::{OpenBuild, Unfinished, unfinished};

use crate::files::{PathError, parent, remove, replace, sync_dir};

/// Why the journal was not read or written.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A line in it is no entry.
    #[error("{}: line {line} is not understood: {source}", path.display())]
    Line {
        /// The journal.
        path: PathBuf,
        /// Which, counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The system's answer.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl JournalError {
    /// What to do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            JournalError::Line { path, .. } => Some(format!(
                "use the version that wrote it; or move it away, and what killed runs left stays: \
                 mv {0} {0}.broken",
                path.display()
            )),
            JournalError::Path(error) => error.hint(),
        }
    }
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    file: Mutex<Writing>,
    path: PathBuf,
}

#[derive(Debug)]
struct Writing {
    file: File,
    /// Whether the last line may have no end, as where the disk was full.
    is_torn: bool,
}

impl Journal {
    /// Opens it for more entries, and makes it where there is none. The directory must be there.
    ///
    /// # Errors
    /// What the system answers.
    pub fn open(path: &Path) -> Result<Journal, JournalError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o644)
            .open(path)
            .map_err(PathError::on("open", path))?;
        let text = fs::read(path).map_err(PathError::on("read", path))?;
        let whole = whole_lines(&text).len();
        if whole < text.len() {
            file.set_len(whole as u64)
                .map_err(PathError::on("shorten", path))?;
        }
        sync_dir(parent(path))?;
        Ok(Journal {
            file: Mutex::new(Writing {
                file,
                is_torn: false,
            }),
            path: path.to_owned(),
        })
    }

    /// Writes an entry and returns when it is on the disk. What it announces may then be done.
    ///
    /// # Errors
    /// What the system answers; what it announces must then not be done.
    pub fn intend(&self, entry: &Entry) -> Result<(), JournalError> {
        let writing = self.append(entry)?;
        Ok(writing
            .file
            .sync_data()
            .map_err(PathError::on("sync", &self.path))?)
    }

    /// Writes an entry that may be lost.
    ///
    /// # Errors
    /// What the system answers.
    pub fn note(&self, entry: &Entry) -> Result<(), JournalError> {
        self.append(entry).map(drop)
    }

    fn append(&self, entry: &Entry) -> Result<MutexGuard<'_, Writing>, JournalError> {
        let mut writing = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // In one piece: a reader sees the line or a torn last one.
        let mut line = line(entry).map_err(PathError::on("write", &self.path))?;
        if writing.is_torn {
            line.insert(0, b'\n');
        }
        writing.is_torn = true;
        writing
            .file
            .write_all(&line)
            .map_err(PathError::on("write", &self.path))?;
        writing.is_torn = false;
        Ok(writing)
    }

    /// The run has ended: drops every entry that nobody needs any more.
    ///
    /// # Errors
    /// As [`read`], and what the system answers; the journal is then longer than need be.
    pub fn end(&self, run: &str) -> Result<(), JournalError> {
        self.note(&Entry::RunEnded {
            run: run.to_owned(),
        })?;
        let left: Vec<Entry> = unfinished(&read(&self.path)?)
            .iter()
            .filter(|run| run.holds_anything())
            .flat_map(Unfinished::entries)
            .collect();
        rewrite(&self.path, &left)
    }
}

fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
    line.push(b'\n');
    Ok(line)
}

/// Without a last line that has no end.
fn whole_lines(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| byte == b'\n');
    &text[..end.map_or(0, |end| end + 1)]
}

/// Reads a journal; an absent one is empty.
///
/// # Errors
/// When it cannot be read, and when a line that is not torn is no entry.
pub fn read(path: &Path) -> Result<Vec<Entry>, JournalError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(PathError::on("read", path)(error).into()),
    };
    whole_lines(&text)
        .split(|&byte| byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .filter_map(|(index, line)| match serde_json::from_slice(line) {
            Ok(entry) => Some(Ok(entry)),
            // It breaks off.
            Err(source) if source.is_eof() => None,
            Err(source) => Some(Err(JournalError::Line {
                path: path.to_owned(),
                line: index + 1,
                source,
            })),
        })
        .collect()
}

/// Puts these entries in the place of all; without any the file goes.
///
/// # Errors
/// What the system answers; the journal is then as it was.
pub fn rewrite(path: &Path, entries: &[Entry]) -> Result<(), JournalError> {
    if entries.is_empty() {
        remove(path)?;
        return Ok(sync_dir(parent(path))?);
    }
    let mut text = Vec::new();
    for entry in entries {
        text.extend(line(entry).map_err(PathError::on("write", path))?);
    }
    Ok(replace(path, &text, None)?)
}

#[cfg(test)]
mod tests;
