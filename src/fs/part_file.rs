//! Part files: a new file is written beside its destination and renamed to it when it is complete.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::fs::error::PathError;
use crate::fs::lock::try_lock;
use crate::fs::paths::{is_at, parent, remove, sync_dir, with_suffix};

/// A new file beside its destination, `<destination>.part`, which replaces it on commit. Dropped, it is removed.
///
/// It is locked while it is written. So an unlocked `.part` is the leftover of a dead process and is removed,
/// and a locked one has a live writer to wait for.
#[derive(Debug)]
pub struct PartFile {
    file: File,
    part: PathBuf,
    dest: PathBuf,
    done: bool,
}

/// How long [`PartFile::create`] waits for another writer of the same file.
const PART_WAIT: Duration = Duration::from_secs(600);

impl PartFile {
    /// Creates an empty `.part`, with mode 0644 less the umask.
    ///
    /// # Errors
    /// Errors of the file system, and [`io::ErrorKind::TimedOut`] if another process is still writing the same
    /// file after ten minutes.
    pub fn create(dest: &Path) -> Result<PartFile, PathError> {
        let part = with_suffix(dest, ".part");
        let until = Instant::now() + PART_WAIT;
        loop {
            if let Some(file) = create_locked(&part).map_err(PathError::on("create", &part))? {
                return Ok(PartFile {
                    file,
                    part,
                    dest: dest.to_owned(),
                    done: false,
                });
            }
            if Instant::now() > until {
                let busy = io::Error::new(
                    io::ErrorKind::TimedOut,
                    "another process has been writing it for ten minutes",
                );
                return Err(PathError::on("create", &part)(busy));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path of the `.part`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.part
    }

    /// Sets its mode, syncs it, and renames it to its destination, replacing an existing file.
    ///
    /// # Errors
    /// Errors of the file system; the `.part` is then removed and the destination unchanged.
    pub fn commit(mut self, mode: Option<u32>) -> Result<(), PathError> {
        self.sync(mode)?;
        self.put()?;
        sync_dir(parent(&self.dest))
    }

    /// As [`PartFile::commit`], without the syncs, for a file that is useless after a loss of power.
    ///
    /// # Errors
    /// As [`PartFile::commit`].
    pub fn commit_unsynced(mut self, mode: Option<u32>) -> Result<(), PathError> {
        self.set_mode(mode)?;
        self.put()
    }

    /// Gives it a mode and syncs it, without putting it in its place.
    ///
    /// # Errors
    /// The system's answer.
    pub fn sync(&self, mode: Option<u32>) -> Result<(), PathError> {
        self.set_mode(mode)?;
        self.file
            .sync_all()
            .map_err(PathError::on("sync", &self.part))
    }

    /// The caller has renamed it: nothing is left to remove.
    pub fn renamed(mut self) {
        self.done = true;
    }

    /// Removes the file that has its temporary name, which the caller has exchanged with this one.
    ///
    /// # Errors
    /// The system's answer.
    pub fn discard(mut self) -> Result<(), PathError> {
        self.done = true;
        remove(&self.part)
    }

    fn set_mode(&self, mode: Option<u32>) -> Result<(), PathError> {
        let Some(mode) = mode else { return Ok(()) };
        self.file
            .set_permissions(fs::Permissions::from_mode(mode))
            .map_err(PathError::on("set the mode of", &self.part))
    }

    fn put(&mut self) -> Result<(), PathError> {
        if !is_at(&self.file, &self.part).map_err(PathError::on("read", &self.part))? {
            // A file that has this name now belongs to another process.
            self.done = true;
            let gone = io::Error::new(
                io::ErrorKind::NotFound,
                "another process removed it meanwhile",
            );
            return Err(PathError::on("put in place", &self.part)(gone));
        }
        fs::rename(&self.part, &self.dest).map_err(PathError::on("replace", &self.dest))?;
        self.done = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.done && is_at(&self.file, &self.part).unwrap_or(true) {
            // A drop cannot return an error; the next writer of this name removes what stays.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// One attempt: the new file, locked; `None` if another process has it locked, or has removed it meanwhile.
fn create_locked(part: &Path) -> io::Result<Option<File>> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits() | OFlags::NONBLOCK.bits())
        .map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(flags);
    match options.clone().create_new(true).mode(0o644).open(part) {
        // Between creation and lock, another process may have removed it as a leftover.
        Ok(file) => Ok((try_lock(&file)? && is_at(&file, part)?).then_some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match options.open(part) {
                Ok(left) => {
                    if try_lock(&left)? && is_at(&left, part)? {
                        fs::remove_file(part)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::fs::replace::replace;

    #[test]
    fn a_dead_writers_part_is_removed_and_a_live_ones_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("f");
        let part = dir.path().join("f.part");
        fs::write(&part, "left behind").unwrap();
        let first = PartFile::create(&dest).unwrap();
        assert_eq!(first.file().metadata().unwrap().len(), 0);
        let second = std::thread::spawn({
            let dest = dest.clone();
            move || replace(&dest, b"second", Some(0o600)).unwrap()
        });
        std::thread::sleep(Duration::from_millis(50));
        first.file().write_all(b"first").unwrap();
        first.commit(None).unwrap();
        second.join().unwrap();
        assert_eq!(fs::read(&dest).unwrap(), b"second");
        assert_eq!(dest.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(!part.exists());
    }

    #[test]
    fn commit_fails_if_another_process_has_replaced_the_part() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("f");
        let ours = PartFile::create(&dest).unwrap();
        fs::remove_file(ours.path()).unwrap();
        let theirs = PartFile::create(&dest).unwrap();
        let error = ours.commit(None).unwrap_err();
        assert!(
            error.to_string().contains("another process removed it"),
            "{error}"
        );
        theirs.commit(None).unwrap();
        assert!(dest.exists());
    }

    #[test]
    fn an_uncommitted_part_is_removed_on_drop() {
        let dir = tempfile::tempdir().unwrap();
        drop(PartFile::create(&dir.path().join("f")).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
