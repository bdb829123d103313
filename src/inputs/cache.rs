//! A cache of file hashes: a file whose path, device, inode, size and times are unchanged is not read again.
//!
//! A file that changes twice within one tick of its file system's clock has the same stamp after both changes. As in
//! git ("racy git", Documentation/technical/racy-git.txt), a hash is trusted only if the file had not changed for
//! [`REST`] seconds when it was read; otherwise the file is read again. Change times decide that, because
//! modification times can be set.
//!
//! The cache file is replaced as a whole and has a checksum: a torn file, or one of another version, counts as empty.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use crate::fs::stamp::Stamp;
use crate::fs::{PathError, replace};

/// The SHA-256 of a file's bytes.
pub type ContentHash = [u8; 32];

/// Seconds and nanoseconds since 1970.
pub type UnixTime = (i64, i64);

/// Seconds without a change before a hash is trusted: the coarsest file system clock (FAT) ticks every two.
const REST: i64 = 2;

/// Attempts at a file that changes while it is read.
const ATTEMPTS: u32 = 5;

/// Above this many hashes, those that this run did not use are dropped. Below it they stay for variants that are not
/// selected.
const KEEP_UNUSED: usize = 100_000;

const MAGIC: &[u8; 8] = b"ibahash1";

/// The present time, for [`HashCache::open`].
#[must_use]
pub fn now() -> UnixTime {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or((0, 0), |since| {
            let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            (seconds, since.subsec_nanos().into())
        })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CachedHash {
    stamp: Stamp,
    /// The time just before the file was read.
    at: UnixTime,
    hash: ContentHash,
    used: bool,
}

/// The cache.
pub struct HashCache {
    path: Option<PathBuf>,
    entries: HashMap<PathBuf, CachedHash>,
    clock: Box<dyn Fn() -> UnixTime + Send>,
    changed: bool,
    /// The number of files that were read.
    pub read: usize,
    observed: Option<ObservedStamps>,
}

/// The stamps of files and directories at the time of a read, by path.
pub type ObservedStamps = BTreeMap<PathBuf, Stamp>;

impl HashCache {
    /// Opens the cache file at `path`; without a usable file the cache is empty.
    #[must_use]
    pub fn open(path: &Path, clock: impl Fn() -> UnixTime + Send + 'static) -> HashCache {
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
            observed: None,
        }
    }

    /// A cache without a file.
    #[must_use]
    pub fn in_memory(clock: impl Fn() -> UnixTime + Send + 'static) -> HashCache {
        HashCache {
            path: None,
            entries: HashMap::new(),
            clock: Box::new(clock),
            changed: false,
            read: 0,
            observed: None,
        }
    }

    /// Starts to collect the stamp of every file that is read or noted, until [`HashCache::observed`].
    pub fn observe(&mut self) {
        self.observed = Some(ObservedStamps::new());
    }

    /// Takes the stamps collected since [`HashCache::observe`].
    pub fn observed(&mut self) -> ObservedStamps {
        self.observed.take().unwrap_or_default()
    }

    /// Collects the stamp of a file or directory that is not hashed.
    pub fn note(&mut self, path: &Path, metadata: &Metadata) {
        if let Some(observed) = &mut self.observed {
            observed.insert(path.to_owned(), Stamp::of(metadata));
        }
    }

    /// The hash of a regular file's bytes. Follows links.
    ///
    /// # Errors
    /// When the file cannot be read, or changes at every attempt.
    pub fn hash(&mut self, path: &Path) -> Result<ContentHash, PathError> {
        let metadata = fs::metadata(path).map_err(PathError::on("read", path))?;
        self.note(path, &metadata);
        self.hash_noted(path, &metadata)
    }

    /// As [`HashCache::hash`], with metadata that the caller has just read and noted.
    ///
    /// # Errors
    /// As [`HashCache::hash`].
    pub fn hash_noted(
        &mut self,
        path: &Path,
        metadata: &Metadata,
    ) -> Result<ContentHash, PathError> {
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
        let entry = CachedHash {
            stamp,
            at,
            hash,
            used: true,
        };
        self.entries.insert(path.to_owned(), entry);
        Ok(hash)
    }

    /// Writes the cache file if a hash was added. Its directory must exist.
    ///
    /// # Errors
    /// When the file cannot be written; the next run then reads the files again.
    pub fn save(&mut self) -> Result<(), PathError> {
        let Some(path) = self.path.clone().filter(|_| self.changed) else {
            return Ok(());
        };
        if self.entries.len() > KEEP_UNUSED {
            self.entries.retain(|_, entry| entry.used);
        }
        replace(&path, &encode(&self.entries), None)?;
        self.changed = false;
        Ok(())
    }
}

/// Whether a file with `stamp` had been at rest at `at`, so that any later change shows in its stamp.
fn at_rest(stamp: &Stamp, at: UnixTime) -> bool {
    let (seconds, nanoseconds) = stamp.ctime;
    (seconds.saturating_add(REST), nanoseconds) < at
}

fn read_at_rest(path: &Path) -> io::Result<(Stamp, ContentHash)> {
    for _ in 0..ATTEMPTS {
        // NONBLOCK: the file may have been replaced with a named pipe that has no writer.
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

fn encode(entries: &HashMap<PathBuf, CachedHash>) -> Vec<u8> {
    let mut body = Vec::with_capacity(entries.len() * 160);
    let mut sorted: Vec<(&PathBuf, &CachedHash)> = entries.iter().collect();
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

fn decode(bytes: &[u8]) -> Option<HashMap<PathBuf, CachedHash>> {
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
        let entry = CachedHash {
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

/// Whether an executable bit is set, as git decides it.
pub(super) fn is_executable(metadata: &Metadata) -> bool {
    metadata.mode() & 0o111 != 0
}
