//! ext2, ext3 and ext4: the first bytes of every regular file.

use std::io;

use ext4_view::{Ext4, Ext4Error, Ext4Read};

use crate::inspect::machine::HEAD;
use crate::inspect::report::{Looking, rooted};
use crate::inspect::source::{Window, invalid};
use crate::inspect::volume::{DEPTH, ENTRIES};

/// Shorter files cannot be programs, in bytes.
const LEAST: u64 = 20;

struct Reader(Window);

impl Ext4Read for Reader {
    fn read(
        &mut self,
        at: u64,
        buffer: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        match self.0.read_at(at, buffer)? {
            all if all == buffer.len() => Ok(()),
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }
}

fn fault(error: Ext4Error) -> io::Error {
    invalid(error.to_string())
}

/// Checks every program.
///
/// # Errors
/// When the file system cannot be read.
pub(super) fn walk(volume: &Window, looking: &mut Looking<'_>) -> io::Result<()> {
    let file_system = Ext4::load(Box::new(Reader(volume.clone()))).map_err(fault)?;
    let mut entries = 0;
    let mut open = vec![file_system.read_dir("/").map_err(fault)?];
    while let Some(directory) = open.last_mut() {
        let Some(entry) = directory.next() else {
            open.pop();
            continue;
        };
        let entry = entry.map_err(fault)?;
        if [&b"."[..], b".."].contains(&entry.file_name().as_ref()) {
            continue;
        }
        entries += 1;
        if entries > ENTRIES {
            return Err(invalid(format!("more than {ENTRIES} files")));
        }
        let kind = entry.file_type().map_err(fault)?;
        if kind.is_dir() {
            if open.len() == DEPTH {
                return Err(invalid(format!(
                    "more than {DEPTH} directories in each other"
                )));
            }
            open.push(file_system.read_dir(&entry.path()).map_err(fault)?);
        } else if kind.is_regular_file() {
            let path = entry.path();
            let mut file = file_system.open(&path).map_err(fault)?;
            if file.metadata().len() < LEAST {
                continue;
            }
            let mut head = [0; HEAD];
            let there = fill(&mut head, |rest| file.read_bytes(rest).map_err(fault))?;
            looking.program(&rooted(&path.display().to_string()), &head[..there]);
        }
    }
    Ok(())
}

/// Fills a buffer as far as the reader has bytes.
pub(super) fn fill(
    buffer: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match read(&mut buffer[done..])? {
            0 => break,
            more => done += more,
        }
    }
    Ok(done)
}
