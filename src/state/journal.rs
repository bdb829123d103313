//! The journal: intentions of a run, on the disk before the run acts on them, so that the next start can finish or
//! undo them ([`crate::recovery`] does).
//!
//! JSON lines, appended under the run lock. An entry before something irreversible is synced ([`Journal::intend`]);
//! an entry that something is done need not be ([`Journal::note`]), because recovering twice is harmless. A torn
//! line, left by a death or a full disk, is ignored: what it announces was not done. Every method blocks; async code
//! uses a [`JournalHandle`](crate::state::handle::JournalHandle).

mod entry;
#[cfg(test)]
mod tests;
mod unfinished;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;

pub use crate::state::journal::entry::{
    Entry, IntendedArtifact, IntendedVariant, Registration, StorePlace,
};
pub use crate::state::journal::unfinished::{OpenBuild, OpenStep, Unfinished, unfinished};

use crate::exec::BlockingError;
use crate::fs::{PathError, parent, remove, replace, sync_dir};

/// Why the journal cannot be read or written.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A line is not an entry.
    #[error("{}: line {line} is not a journal entry: {source}", path.display())]
    Line {
        /// The journal.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The error in it.
        source: serde_json::Error,
    },
    /// An error of the file system.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A call through a [`JournalHandle`](crate::state::handle::JournalHandle) has no result.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl JournalError {
    /// A remedy, if one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            JournalError::Line { path, .. } => Some(format!(
                "use the version that wrote it; or move it away, which leaves the remains of killed runs: \
                 mv {0} {0}.broken",
                path.display()
            )),
            JournalError::Path(error) => error.hint(),
            JournalError::Blocking(_) => None,
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
    /// Whether the last write failed, and may have left a line without an end.
    is_torn: bool,
}

impl Journal {
    /// Opens or creates the journal, and removes a torn last line. Its directory must exist.
    ///
    /// # Errors
    /// When the file cannot be opened, read or shortened.
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

    /// Writes an entry and returns once it is on the disk. The caller may then do what it announces.
    ///
    /// # Errors
    /// When it cannot be written; the caller must then not do what it announces.
    pub fn intend(&self, entry: &Entry) -> Result<(), JournalError> {
        let writing = self.append(entry)?;
        Ok(writing
            .file
            .sync_data()
            .map_err(PathError::on("sync", &self.path))?)
    }

    /// Writes an entry without waiting for the disk: a power cut may lose it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&self, entry: &Entry) -> Result<(), JournalError> {
        self.append(entry).map(drop)
    }

    fn append(&self, entry: &Entry) -> Result<MutexGuard<'_, Writing>, JournalError> {
        let mut writing = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // One write: a reader sees the whole line or a torn last one.
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

    /// Ends a run: drops its entries, except those that recovery still needs.
    ///
    /// # Errors
    /// As [`read`] and [`rewrite`]; the journal then keeps its entries.
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

/// `text` up to the end of its last whole line.
fn whole_lines(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| byte == b'\n');
    &text[..end.map_or(0, |end| end + 1)]
}

/// Reads a journal; an absent file is an empty journal.
///
/// # Errors
/// When it cannot be read, or a line that is not torn is not an entry.
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
            // A torn line.
            Err(source) if source.is_eof() => None,
            Err(source) => Some(Err(JournalError::Line {
                path: path.to_owned(),
                line: index + 1,
                source,
            })),
        })
        .collect()
}

/// Replaces all entries; without entries, removes the file.
///
/// # Errors
/// When the file cannot be replaced; it is then unchanged.
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
