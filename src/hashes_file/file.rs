//! The hashes file on the disk: one lock, one atomic replacement. [`crate::hashes_file`] has the shape of its
//! text.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::fs::checked_replace::{FileContent, Replaced, replace_unedited};
use crate::fs::lock::{Holder, LockError, LockFile};
use crate::fs::{PathError, create_dir, parent};
use crate::hashes_file;
use crate::hashes_file::{HashesError, VariantHashes};

/// Time to wait for other writers of the file. Each holds the lock briefly; a dead one not at all.
pub const WAIT: Duration = Duration::from_secs(600);

/// How often a replacement is made again after an edit of another program.
const MOST_EDITS: usize = 1_000;

/// The reasons why the hashes file was not read or written.
#[derive(Debug, Error)]
pub enum HashesFileError {
    /// Its text does not have the shape that can be edited safely.
    #[error("{} is unchanged: {source}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: HashesError,
    },
    /// It is not UTF-8.
    #[error("{} is unchanged: line {line}: not valid UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first such line, counted from 1.
        line: usize,
    },
    /// Another program edits it without a pause.
    #[error("{} is unchanged: another program edits it again and again", path.display())]
    Edited {
        /// The file.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An error of the file system.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl HashesFileError {
    /// The remedy, if one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            HashesFileError::Text { source, .. } => source.hint(),
            HashesFileError::NotUtf8 { .. } => Some("write the line's comment in UTF-8".to_owned()),
            HashesFileError::Edited { .. } => {
                Some("end that program, and register again: --rename-existing".to_owned())
            }
            HashesFileError::Lock(error) => error.hint(),
            HashesFileError::Path(error) => error.hint(),
        }
    }
}

/// The hashes file, locked against other writers.
#[derive(Debug)]
pub struct HashesFile {
    /// Its path as named, for messages.
    path: PathBuf,
    /// The path of its bytes, with links followed.
    target: PathBuf,
    _lock: LockFile,
}

impl HashesFile {
    /// Locks it. The lock file is beside it, so that runs with different state directories exclude each other
    /// too.
    ///
    /// # Errors
    /// When another process still writes it after `wait`, or its directory is not writable.
    pub fn lock(
        path: &Path,
        holder: &Holder,
        wait: Duration,
    ) -> Result<HashesFile, HashesFileError> {
        Self::lock_unless(path, holder, wait, &|| false)
    }

    /// As [`HashesFile::lock`], but ends the wait when `stop` returns true.
    ///
    /// # Errors
    /// As [`HashesFile::lock`], and [`LockError::Stopped`].
    pub fn lock_unless(
        path: &Path,
        holder: &Holder,
        wait: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Result<HashesFile, HashesFileError> {
        let target = follow(path)?;
        create_dir(parent(&target))?;
        let lock = lock_beside(&target);
        Ok(HashesFile {
            path: path.to_owned(),
            _lock: LockFile::acquire_unless(&lock, holder, wait, stop)?,
            target,
        })
    }

    /// The path of the lock file for the hashes file at `path`; neither needs to exist.
    ///
    /// # Errors
    /// When its links cannot be followed.
    pub fn lock_path(path: &Path) -> Result<PathBuf, HashesFileError> {
        Ok(lock_beside(&follow(path)?))
    }

    /// The path of its bytes, with links followed; it need not exist.
    ///
    /// # Errors
    /// When its links cannot be followed.
    pub fn target(path: &Path) -> Result<PathBuf, HashesFileError> {
        Ok(follow(path)?)
    }

    /// The text of the file with these hashes. Writes nothing.
    ///
    /// # Errors
    /// When the file cannot be read or does not have the right shape.
    pub fn with(&self, variants: &[VariantHashes]) -> Result<Replacement, HashesFileError> {
        let read = FileContent::read(&self.target)?;
        let old = read.as_ref().map_or(Ok(String::new()), |read| {
            text(read.bytes.clone(), &self.path)
        })?;
        let new = hashes_file::update(&old, variants).map_err(|source| HashesFileError::Text {
            path: self.path.clone(),
            source,
        })?;
        Ok(Replacement {
            changed: new != old,
            text: new,
            read,
        })
    }

    /// Puts these hashes into the file in one instant; where that changes nothing, the file is not touched. Its mode
    /// stays. `replacement` is the result of [`HashesFile::with`] for the same hashes: where another program has edited
    /// the file since, it is read and changed again, so that both edits are in it.
    ///
    /// # Errors
    /// The system's answer, or an edit after which the file is no longer of its shape; it is then as that edit left it.
    pub fn write(
        &self,
        replacement: Replacement,
        variants: &[VariantHashes],
    ) -> Result<(), HashesFileError> {
        let mut replacement = replacement;
        for _ in 0..MOST_EDITS {
            if !replacement.changed {
                return Ok(());
            }
            let new = replacement.text.as_bytes();
            match replace_unedited(&self.target, replacement.read.as_ref(), new)? {
                Replaced::Done => return Ok(()),
                Replaced::Edited => replacement = self.with(variants)?,
            }
        }
        Err(HashesFileError::Edited {
            path: self.path.clone(),
        })
    }
}

fn lock_beside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or(target.as_os_str());
    parent(target).join(format!(".{}.lock", name.to_string_lossy()))
}

/// The new text of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    changed: bool,
    text: String,
    /// The file as it was read.
    read: Option<FileContent>,
}

impl Replacement {
    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Reads a hashes file without a lock, which is safe because it is only ever replaced as a whole. A missing
/// file is an empty text.
///
/// # Errors
/// When it cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, HashesFileError> {
    read(path, path)
}

/// Checks that a hashes file can be edited in its present state. Locks and writes nothing.
///
/// # Errors
/// When it cannot be read or does not have the right shape.
pub fn check(path: &Path) -> Result<(), HashesFileError> {
    let old = read(path, path)?;
    hashes_file::update(&old, &[])
        .map(drop)
        .map_err(|source| HashesFileError::Text {
            path: path.to_owned(),
            source,
        })
}

fn read(target: &Path, path: &Path) -> Result<String, HashesFileError> {
    match FileContent::read(target)? {
        Some(read) => text(read.bytes, path),
        None => Ok(String::new()),
    }
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String, HashesFileError> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..good];
        HashesFileError::NotUtf8 {
            path: path.to_owned(),
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
        }
    })
}

/// The path with links followed; it need not exist.
fn follow(path: &Path) -> Result<PathBuf, PathError> {
    /// The kernel's limit, see `path_resolution(7)`.
    const MOST: usize = 40;
    let mut target = path.to_owned();
    for _ in 0..MOST {
        match fs::read_link(&target) {
            Ok(next) => target = parent(&target).join(next),
            // EINVAL: not a link. NotFound: no file.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::NotFound
                ) =>
            {
                return Ok(target);
            }
            Err(error) => return Err(PathError::on("read", path)(error)),
        }
    }
    Err(PathError::on("read", path)(io::Error::from(
        rustix::io::Errno::LOOP,
    )))
}
