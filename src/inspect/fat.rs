//! FAT12, FAT16 and FAT32: the first bytes of every file.

use std::io::{self, Read, Seek, SeekFrom, Write};

use fatfs::{FsOptions, ReadWriteSeek};

use crate::inspect::ext4::fill;
use crate::inspect::machine::HEAD;
use crate::inspect::report::{Looking, rooted};
use crate::inspect::source::{Window, invalid};
use crate::inspect::volume::{DEPTH, ENTRIES};

/// A volume for the library, which requires a writer. It writes only changes, and there are none.
struct ReadOnly(Window);

impl Read for ReadOnly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for ReadOnly {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Write for ReadOnly {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks every program.
///
/// # Errors
/// When the file system cannot be read.
pub(super) fn walk(volume: &Window, looking: &mut Looking<'_>) -> io::Result<()> {
    let options = FsOptions::new().update_accessed_date(false);
    let file_system = fatfs::FileSystem::new(ReadOnly(volume.clone()), options)?;
    directories(&file_system, looking)
}

fn directories<T: ReadWriteSeek>(
    file_system: &fatfs::FileSystem<T>,
    looking: &mut Looking<'_>,
) -> io::Result<()> {
    let mut entries = 0;
    let mut open = vec![(String::new(), file_system.root_dir().iter())];
    while let Some((path, directory)) = open.last_mut() {
        let Some(entry) = directory.next() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        entries += 1;
        if entries > ENTRIES {
            return Err(invalid(format!("more than {ENTRIES} files")));
        }
        let path = format!("{path}/{name}");
        if entry.is_dir() {
            if open.len() == DEPTH {
                return Err(invalid(format!(
                    "more than {DEPTH} directories in each other"
                )));
            }
            open.push((path, entry.to_dir().iter()));
        } else if entry.is_file() {
            let mut file = entry.to_file();
            let mut head = [0; HEAD];
            let there = fill(&mut head, |rest| file.read(rest))?;
            looking.program(&rooted(&path), &head[..there]);
        }
    }
    Ok(())
}
