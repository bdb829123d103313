//! Hashes of files, remembered: a file whose path, device, inode, size and times are what they were is
//! not read again. Knows nothing of what the files are for.
//!
//! A file that changes twice within one tick of its file system's clock looks the same after the second
//! change as after the first. As git does ("racy git", Documentation/technical/racy-git.txt), a hash is
//! trusted only where the file had been at rest for a while when it was taken; a younger one is taken
//! again. Change times count for that and not modification times, which anybody can set.
//!
//! The file of the cache is only ever replaced whole, and holds its own checksum: one that is torn or of
//! another version is an empty one.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use crate::files::{PathError, replace};
use crate::store::copy::Stamp;

/// A SHA-256.
pub type Hash = [u8; 32];

/// The time since 1970 in seconds and nanoseconds.
pub type Moment = (i64, i64);

/// How long a file must have been at rest, in seconds: the coarsest clock of a file system in use (FAT)
/// ticks every two.
const REST: i64 = 2;

/// How often a file that changes while it is read is read again.
const ATTEMPTS: u32 = 5;

/// Entries that nobody asked for are kept up to this many, for variants that were not selected.
const UNUSED: usize = 100_000;

const MAGIC: &[u8; 8] = b"ibahash1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    stamp: Stamp,
    /// When the file was looked at before it was read.
    at: Moment,
    hash: Hash,
    used: bool,
}

/// The remembered hashes.
pub struct HashCache {
    path: Option<PathBuf>,
    entries: HashMap<PathBuf, Entry>,
    clock: Box<dyn Fn() -> Moment + Send>,
    changed: bool,
    /// How many files were read, for who wants to know what it cost.
    pub read: usize,
    seen: Option<Seen>,
}

/// The states in which files and directories were seen, by their paths.
pub type Seen = BTreeMap<PathBuf, Stamp>;

impl HashCache {
    /// The cache that lies at `path`, empty where there is none that can be used.
    #[must_use]
    pub fn open(path: &Path, clock: impl Fn() -> Moment + Send + 'static) -> HashCache {
        let entries = fs::read(path)
            .ok()
            .and_then(|bytes| decode(&bytes))
            .unwrap_or_default();
        HashCache {
            path: Some(path.to_owned()),
            entries,
            clock: Box::new(clock),
            changed: false,
            read: 0,
            seen: None,
        }
    }

    /// One that is not kept.
    #[must_use]
    pub fn in_memory(clock: impl Fn() -> Moment + Send + 'static) -> HashCache {
        HashCache {
            path: None,
            entries: HashMap::new(),
            clock: Box::new(clock),
            changed: false,
            read: 0,
            seen: None,
        }
    }

    /// From now on the state of what is looked at is noted, until [`HashCache::seen`] takes the notes.
    pub fn watch(&mut self) {
        self.seen = Some(Seen::new());
    }

    /// What was noted.
    pub fn seen(&mut self) -> Seen {
        self.seen.take().unwrap_or_default()
    }

    /// Notes a state.
    pub fn note(&mut self, path: &Path, metadata: &Metadata) {
        if let Some(seen) = &mut self.seen {
            seen.insert(path.to_owned(), Stamp::of(metadata));
        }
    }

    /// The hash of a regular file's bytes. Links are followed.
    ///
    /// # Errors
    /// What the system answers; a file that never comes to rest.
    pub fn hash(&mut self, path: &Path) -> Result<Hash, PathError> {
        let metadata = fs::metadata(path).map_err(PathError::on("read", path))?;
        self.note(path, &metadata);
        self.hash_seen(path, &metadata)
    }

    /// The same for one that was just looked at.
    ///
    /// # Errors
    /// The same.
    pub fn hash_seen(&mut self, path: &Path, metadata: &Metadata) -> Result<Hash, PathError> {
        let stamp = Stamp::of(metadata);
        if let Some(entry) = self.entries.get_mut(path)
            && entry.stamp == stamp
            && at_rest(&stamp, entry.at)
        {
            entry.used = true;
            return Ok(entry.hash);
        }
        let at = (self.clock)();
        let (stamp, hash) = read_at_rest(path).map_err(PathError::on("read", path))?;
        self.read += 1;
        self.changed = true;
        let entry = Entry {
            stamp,
            at,
            hash,
            used: true,
        };
        self.entries.insert(path.to_owned(), entry);
        Ok(hash)
    }

    /// Keeps what was learned, where something was. The directory must be there.
    ///
    /// # Errors
    /// What the system answers; the next run then reads once more.
    pub fn save(&mut self) -> Result<(), PathError> {
        let Some(path) = self.path.clone().filter(|_| self.changed) else {
            return Ok(());
        };
        if self.entries.len() > UNUSED {
            self.entries.retain(|_, entry| entry.used);
        }
        replace(&path, &encode(&self.entries), None)?;
        self.changed = false;
        Ok(())
    }
}

/// Whether a change after `at` would show in the stamp.
fn at_rest(stamp: &Stamp, at: Moment) -> bool {
    let (seconds, nanoseconds) = stamp.ctime;
    (seconds.saturating_add(REST), nanoseconds) < at
}

fn read_at_rest(path: &Path) -> io::Result<(Stamp, Hash)> {
    for _ in 0..ATTEMPTS {
        // NONBLOCK: what was a file a moment ago may be a named pipe that nobody writes to.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let mut file = File::options().read(true).custom_flags(flags).open(path)?;
        let before = Stamp::of(&file.metadata()?);
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        if Stamp::of(&file.metadata()?) == before {
            return Ok((before, hasher.finalize().into()));
        }
    }
    Err(io::Error::other("it changes while it is read"))
}

fn encode(entries: &HashMap<PathBuf, Entry>) -> Vec<u8> {
    let mut body = Vec::with_capacity(entries.len() * 160);
    let mut sorted: Vec<(&PathBuf, &Entry)> = entries.iter().collect();
    sorted.sort_by_key(|(path, _)| *path);
    for (path, entry) in sorted {
        let bytes = path.as_os_str().as_bytes();
        let Ok(length) = u32::try_from(bytes.len()) else {
            continue;
        };
        body.extend(length.to_le_bytes());
        body.extend(bytes);
        let stamp = &entry.stamp;
        for number in [stamp.device, stamp.inode, stamp.bytes] {
            body.extend(number.to_le_bytes());
        }
        for (seconds, nanoseconds) in [stamp.mtime, stamp.ctime, entry.at] {
            body.extend(seconds.to_le_bytes());
            body.extend(nanoseconds.to_le_bytes());
        }
        body.extend(entry.hash);
    }
    let mut out = Vec::with_capacity(body.len() + 40);
    out.extend(MAGIC);
    out.extend(crc32fast::hash(&body).to_le_bytes());
    out.extend(body);
    out
}

fn decode(bytes: &[u8]) -> Option<HashMap<PathBuf, Entry>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (checksum, mut body) = rest.split_first_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut entries = HashMap::new();
    while !body.is_empty() {
        let length = u32::from_le_bytes(take(&mut body)?) as usize;
        let (path, rest) = body.split_at_checked(length)?;
        body = rest;
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        let mut number = || Some(u64::from_le_bytes(take(&mut body)?));
        let (device, inode, bytes) = (number()?, number()?, number()?);
        let mut moment = || {
            let seconds = i64::from_le_bytes(take(&mut body)?);
            Some((seconds, i64::from_le_bytes(take(&mut body)?)))
        };
        let stamp = Stamp {
            device,
            inode,
            bytes,
            mtime: moment()?,
            ctime: moment()?,
        };
        let entry = Entry {
            stamp,
            at: moment()?,
            hash: take(&mut body)?,
            used: false,
        };
        entries.insert(path, entry);
    }
    Some(entries)
}

fn take<const N: usize>(body: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = body.split_first_chunk::<N>()?;
    *body = rest;
    Some(*head)
}

/// The mode bit that git knows too.
pub(super) fn is_executable(metadata: &Metadata) -> bool {
    metadata.mode() & 0o111 != 0
}

#[cfg(test)]
mod tests;
