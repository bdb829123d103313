//! Replacement of a file that other programs edit, too: an edit that came after the file was read is not lost.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::fs::{PartFile, PathError, parent, sync_dir};

/// A file's bytes and mode as they were read; `None` in place of it stands for an absent file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The permission bits.
    pub mode: u32,
}

impl FileContent {
    /// Reads a regular file; `None` where there is none.
    ///
    /// # Errors
    /// The system's answer, and [`io::ErrorKind::InvalidInput`] for what is not a regular file: reading a FIFO
    /// would wait for a writer.
    pub fn read(path: &Path) -> Result<Option<FileContent>, PathError> {
        let on_read = |error: io::Error| PathError::on("read", path)(error);
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits())
            .map_err(|error| on_read(io::Error::other(error)))?;
        let opened = fs::OpenOptions::new()
            .read(true)
            .custom_flags(nonblocking)
            .open(path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(on_read(error)),
        };
        let metadata = file.metadata().map_err(on_read)?;
        if !metadata.is_file() {
            let kind = io::ErrorKind::InvalidInput;
            return Err(on_read(io::Error::new(kind, "it is not a regular file")));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(on_read)?;
        Ok(Some(FileContent {
            bytes,
            mode: metadata.mode() & 0o7777,
        }))
    }
}

/// How a checked replacement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// The file has the new bytes.
    Done,
    /// The file is no longer as it was read; it was left as it is.
    Edited,
}

/// Replaces the file at `path`, which must not be a link, by `bytes` if it still has the content that was `read`.
/// The mode stays; a new file has 0644 less the umask.
///
/// The new file and the old one exchange their names in one step (renameat2(2)), and the old one is compared
/// afterwards, so that no edit can come between comparison and replacement. File systems that cannot exchange
/// names are compared just before the rename.
///
/// # Errors
/// The system's answer; the file is then as it was.
pub fn replace_unedited(
    path: &Path,
    read: Option<&FileContent>,
    bytes: &[u8],
) -> Result<Replaced, PathError> {
    let part = PartFile::create(path)?;
    part.file()
        .write_all(bytes)
        .map_err(PathError::on("write", part.path()))?;
    part.sync(read.map(|read| read.mode))?;
    if FileContent::read(path)?.as_ref() != read {
        return Ok(Replaced::Edited);
    }
    let flag = match read {
        Some(_) => RenameFlags::EXCHANGE,
        None => RenameFlags::NOREPLACE,
    };
    let swap = || renameat_with(CWD, part.path(), CWD, path, flag);
    match swap() {
        Ok(()) => {}
        // An editor removed the file, or made one.
        Err(Errno::NOENT | Errno::EXIST) => return Ok(Replaced::Edited),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            part.commit(None)?;
            return Ok(Replaced::Done);
        }
        Err(error) => return Err(PathError::on("replace", path)(error)),
    }
    if read.is_none() {
        part.renamed();
        sync_dir(parent(path))?;
        return Ok(Replaced::Done);
    }
    let displaced = FileContent::read(part.path())?;
    if displaced.as_ref() == read {
        // The old file has the temporary name now, and goes with it.
        part.discard()?;
        sync_dir(parent(path))?;
        return Ok(Replaced::Done);
    }
    swap().map_err(PathError::on("restore", path))?;
    Ok(Replaced::Edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(path: &Path) -> Option<FileContent> {
        FileContent::read(path).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn an_unedited_file_is_replaced_and_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let read = content(&path);

        let replaced = replace_unedited(&path, read.as_ref(), b"new").unwrap();

        assert_eq!(replaced, Replaced::Done);
        let now = content(&path).unwrap();
        assert_eq!((now.bytes.as_slice(), now.mode), (&b"new"[..], 0o640));
        assert_eq!(names(dir.path()), ["f"]);
    }

    #[test]
    fn an_edited_removed_or_new_file_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "old").unwrap();
        let read = content(&path);

        fs::write(&path, "edited").unwrap();
        let edited = replace_unedited(&path, read.as_ref(), b"new").unwrap();
        assert_eq!(edited, Replaced::Edited);
        assert_eq!(content(&path).unwrap().bytes, b"edited");
        let made = replace_unedited(&path, None, b"new").unwrap();
        assert_eq!(made, Replaced::Edited);
        fs::remove_file(&path).unwrap();
        let removed = replace_unedited(&path, read.as_ref(), b"new").unwrap();
        assert_eq!(removed, Replaced::Edited);
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn an_absent_file_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");

        assert_eq!(
            replace_unedited(&path, None, b"new").unwrap(),
            Replaced::Done
        );

        assert_eq!(content(&path).unwrap().bytes, b"new");
        assert_eq!(names(dir.path()), ["f"]);
    }

    #[test]
    fn a_fifo_and_a_directory_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(
            CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();

        for path in [fifo.as_path(), dir.path(), Path::new("/dev/null")] {
            let error = FileContent::read(path).unwrap_err();
            assert!(error.to_string().contains("not a regular file"), "{error}");
        }
    }
}
