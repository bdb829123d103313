//! Tar archives, read as a stream.
//!
//! Entries are read raw. The long names of GNU and pax are assembled here, within bounds: a library would read
//! a name into memory even if its header claims gigabytes.

use std::io::{self, Read as _};

use tar::{Archive, Entry, EntryType, PaxExtensions};

use crate::inspect::machine::HEAD;
use crate::inspect::report::{Looking, rooted};
use crate::inspect::source::{Stream, invalid};

/// The longest name or list of properties, in bytes.
const PROPERTIES: u64 = 1 << 20;

/// Whether data begins like a tar archive (POSIX.1-1988 or GNU).
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Checks every program. Returns the number of entries.
///
/// # Errors
/// When the archive cannot be read.
pub(super) fn read(stream: &mut Stream<'_>, looking: &mut Looking<'_>) -> io::Result<u64> {
    let entries = entries(&mut Archive::new(&mut *stream), looking)?;
    // The bytes after the end are read too, so that the checksums of a compressed file are verified.
    io::copy(stream, &mut io::sink())?;
    Ok(entries)
}

fn entries(archive: &mut Archive<&mut Stream<'_>>, looking: &mut Looking<'_>) -> io::Result<u64> {
    let mut entries = 0;
    let mut long_name = None;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::GNULongName => {
                let mut name = properties(&mut entry)?;
                while name.last() == Some(&0) {
                    name.pop();
                }
                long_name = Some(name);
            }
            EntryType::XHeader => {
                let properties = properties(&mut entry)?;
                for property in PaxExtensions::new(&properties) {
                    let property = property?;
                    if property.key_bytes() == b"path" {
                        long_name = Some(property.value_bytes().to_vec());
                    }
                }
            }
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            kind => {
                entries += 1;
                let name = long_name
                    .take()
                    .unwrap_or_else(|| entry.path_bytes().into_owned());
                if matches!(kind, EntryType::Regular | EntryType::Continuous) {
                    let mut head = Vec::with_capacity(HEAD);
                    entry.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
                    looking.program(&rooted(&String::from_utf8_lossy(&name)), &head);
                }
            }
        }
    }
    Ok(entries)
}

fn properties(entry: &mut Entry<'_, &mut Stream<'_>>) -> io::Result<Vec<u8>> {
    if entry.size() > PROPERTIES {
        return Err(invalid(format!("a name of {} bytes", entry.size())));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}
