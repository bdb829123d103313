//! Files that appear whole or not at all: `.part` files, atomic replacement of files and links, syncs.
//! Knows nothing of what is in them.

pub mod checked_replace;
pub mod holes;
pub mod lock;
pub mod stamp;
pub mod use_lock;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use thiserror::Error;

/// What the system answered about a path.
#[derive(Debug, Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub struct PathError {
    /// What was tried, as a verb.
    pub doing: &'static str,
    /// With which file.
    pub path: PathBuf,
    /// The answer.
    pub source: io::Error,
}

impl PathError {
    /// For `map_err`.
    pub fn on<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> PathError {
        move |source| PathError {
            doing,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    /// What to do about it, where the answer tells.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let path = self.path.display();
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some(format!("make room: df -h {path}"))
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some(format!("see who may: namei -l {path}"))
            }
            _ => None,
        }
    }
}

/// The directory that a path lies in.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes renames and new names in a directory survive a loss of power.
///
/// # Errors
/// What the system answers.
pub fn sync_dir(dir: &Path) -> Result<(), PathError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(PathError::on("sync", dir))
}

/// How often a directory is tried to be made while others remove its parents.
const TRIES: usize = 100;

/// Makes a directory with its parents, also where somebody removes a parent that is empty meanwhile.
///
/// # Errors
/// What the system answers.
pub fn create_dir(dir: &Path) -> Result<(), PathError> {
    let mut tries = 1..TRIES;
    loop {
        match fs::create_dir_all(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries.next().is_some() => {}
            answer => return answer.map_err(PathError::on("create directory", dir)),
        }
    }
}

/// Removes a file or link; its absence is fine.
///
/// # Errors
/// What the system answers.
pub fn remove(path: &Path) -> Result<(), PathError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PathError::on("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The same path with `suffix` behind its name.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Whether `path` still names the file that is open as `file`.
///
/// # Errors
/// What the system answers, a path that is gone excepted.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes an exclusive lock on an open file, or says that another has it.
///
/// # Errors
/// What the system answers.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A file that is being written beside its destination as `<destination>.part`.
///
/// It is locked while it is written, so that what a dead process left behind can be told from what a
/// living one writes: the former is removed, for the latter one waits. Dropped, it is removed.
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
    /// Creates it, empty, with mode 0644 less the umask.
    ///
    /// # Errors
    /// What the system answers, and [`io::ErrorKind::TimedOut`] where another process is still
    /// writing the same file after ten minutes.
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

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.part
    }

    /// Gives it a mode, syncs it, and puts it in its place, replacing what is there.
    ///
    /// # Errors
    /// What the system answers; the `.part` is then gone and the place is as it was.
    pub fn commit(mut self, mode: Option<u32>) -> Result<(), PathError> {
        self.sync(mode)?;
        self.put()?;
        sync_dir(parent(&self.dest))
    }

    /// The same without the syncs, for a file that is worth nothing after a loss of power.
    ///
    /// # Errors
    /// The same.
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
            // What is there now, if anything, is somebody else's.
            self.done = true;
            let gone = io::Error::new(io::ErrorKind::NotFound, "somebody removed it meanwhile");
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
            // Nobody can be told from here; what stays is found by the next who wants this name.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// One try: the new file, locked; none where another holds it or came between.
fn create_locked(part: &Path) -> io::Result<Option<File>> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits() | OFlags::NONBLOCK.bits())
        .map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(flags);
    match options.clone().create_new(true).mode(0o644).open(part) {
        // Between creating and locking, another may have taken it for a dead one's and removed it.
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

/// Puts `bytes` in the place of a file, atomically; `mode` unset is 0644 less the umask.
///
/// # Errors
/// What the system answers; the file is then as it was.
pub fn replace(path: &Path, bytes: &[u8], mode: Option<u32>) -> Result<(), PathError> {
    let part = PartFile::create(path)?;
    part.file()
        .write_all(bytes)
        .map_err(PathError::on("write", part.path()))?;
    part.commit(mode)
}

/// Makes `link` a symbolic link to `target`, atomically replacing a file or link that is there.
///
/// The name of the intermediate link is fixed, so that a dead process's is cleared by the next; the
/// caller holds a lock under which alone this link is replaced.
///
/// # Errors
/// What the system answers; what was at `link` is then as it was.
pub fn replace_link(target: &Path, link: &Path) -> Result<(), PathError> {
    let part = with_suffix(link, ".link.part");
    remove(&part)?;
    std::os::unix::fs::symlink(target, &part).map_err(PathError::on("create link", &part))?;
    if let Err(error) = fs::rename(&part, link) {
        // The error to tell is the first.
        let _ = fs::remove_file(&part);
        return Err(PathError::on("replace", link)(error));
    }
    sync_dir(parent(link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_writers_part_is_cleared_and_a_living_ones_waited_for() {
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
    fn what_somebody_else_has_put_there_meanwhile_is_not_put_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("f");
        let ours = PartFile::create(&dest).unwrap();
        fs::remove_file(ours.path()).unwrap();
        let theirs = PartFile::create(&dest).unwrap();
        let error = ours.commit(None).unwrap_err();
        assert!(error.to_string().contains("somebody removed it"), "{error}");
        theirs.commit(None).unwrap();
        assert!(dest.exists());
    }

    #[test]
    fn a_directory_is_made_although_its_empty_parents_are_removed_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let (above, parent) = (dir.path().join("a"), dir.path().join("a/b"));
        let (going_on, rounds) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let (above, parent) = (&above, &parent);
            scope.spawn(move || {
                while rounds.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    let _ = fs::remove_dir(parent);
                    let _ = fs::remove_dir(above);
                    // As often as captures end, and more; a loop without a pause would starve whoever makes them.
                    std::thread::sleep(std::time::Duration::from_micros(20));
                }
            });
            // Dropped with the last round, also where one fails: then the other ends.
            let _going_on = going_on;
            for round in 0..2000 {
                let own = parent.join(round.to_string());
                create_dir(&own).unwrap();
                fs::write(own.join("f"), "").unwrap();
                fs::remove_dir_all(&own).unwrap();
            }
        });
    }

    #[test]
    fn a_part_that_is_not_committed_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        drop(PartFile::create(&dir.path().join("f")).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_part_that_is_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("f.part")).unwrap();
        assert!(replace(&dir.path().join("f"), b"x", None).is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    }

    #[test]
    fn links_replace_links_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        fs::write(&link, "a file").unwrap();
        for target in ["/a", "/b"] {
            std::os::unix::fs::symlink("/left", with_suffix(&link, ".link.part")).unwrap();
            replace_link(Path::new(target), &link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
