//! Squashfs 4: the first bytes of every file.
//!
//! Small files share fragments, and the library keeps each unpacked fragment. So files are read in the order of
//! their fragments, and the library is restarted before it keeps too many.

use std::io::{self, BufReader, Read as _};

use backhand::{FilesystemReader, InnerNode, SquashfsFileReader};

use crate::inspect::machine::HEAD;
use crate::inspect::report::{Looking, rooted};
use crate::inspect::source::{Window, invalid};
use crate::inspect::volume::ENTRIES;

/// Bytes of fragments that the library may keep.
const KEPT: u64 = 16 << 20;

/// Checks every program.
///
/// # Errors
/// When the file system cannot be read.
pub(super) fn walk(volume: &Window, looking: &mut Looking<'_>) -> io::Result<()> {
    let block_size = superblock(volume)?;
    let most = KEPT / block_size;
    let mut done = 0;
    loop {
        let reader = BufReader::new(volume.clone());
        let file_system =
            FilesystemReader::from_reader(reader).map_err(|error| invalid(error.to_string()))?;
        let mut files: Vec<(usize, &str, &SquashfsFileReader)> = file_system
            .files()
            .filter_map(|node| match &node.inner {
                InnerNode::File(file) => Some((file.frag_index(), node.fullpath.to_str()?, file)),
                _ => None,
            })
            .collect();
        files.sort_unstable_by_key(|(fragment, path, _)| (*fragment, *path));
        let mut fragments = 0;
        let mut last = None;
        for (fragment, path, file) in &files[done.min(files.len())..] {
            if last != Some(fragment) {
                last = Some(fragment);
                fragments += 1;
                if fragments > most {
                    break;
                }
            }
            let mut head = Vec::with_capacity(HEAD);
            file_system
                .file(file)
                .reader_checked()
                .map_err(|error| invalid(error.to_string()))?
                .take(HEAD as u64)
                .read_to_end(&mut head)?;
            looking.program(&rooted(path), &head);
            done += 1;
        }
        if done >= files.len() {
            return Ok(());
        }
    }
}

/// Checks values that the library would trust. Returns the block size in bytes.
///
/// Source: Documentation/filesystems/squashfs.rst and squashfs_fs.h of the Linux kernel.
fn superblock(volume: &Window) -> io::Result<u64> {
    let block = volume.bytes_at::<96>(0)?;
    let number = |at: usize, size: usize| {
        block[at..at + size]
            .iter()
            .rev()
            .fold(0_u64, |number, &byte| number << 8 | u64::from(byte))
    };
    let (inodes, block_size, fragments) = (number(4, 4), number(12, 4), number(16, 4));
    let bytes_used = number(40, 8);
    if bytes_used > volume.len() {
        return Err(invalid(format!(
            "it has {} bytes and needs {bytes_used} by its superblock: it is truncated",
            volume.len()
        )));
    }
    let sound = block_size.is_power_of_two() && (4096..=1 << 20).contains(&block_size);
    if !sound || inodes > ENTRIES || fragments > inodes {
        return Err(invalid(format!(
            "its superblock says {inodes} files, {fragments} fragments, blocks of {block_size} bytes"
        )));
    }
    Ok(block_size)
}
