//! Pruning: removes the least recently used files from caches.
//!
//! The caller has the caches' exclusive locks. Files that other programs have open or locked stay.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use crate::caches::files;
use crate::caches::files::{CLONES, CacheFile};
use crate::caches::{Cache, OURS, Purpose, warm};
use crate::fs::{PathError, try_lock};

type Identity = (u64, u64);

/// Follows [`OURS`] in the name of a clone that is being removed.
const DOOMED: &str = "removed.";

/// The limits of a prune. If both are set, both hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Files last used before this time are removed.
    pub before: Option<Timestamp>,
    /// The least recently used files are removed until the caches together have at most this many bytes.
    pub max_bytes: Option<u64>,
}

/// Files that BitBake uses together: a file with its stamps and signatures, or a clone.
#[derive(Debug)]
struct Unit {
    cache: usize,
    name: PathBuf,
    files: Vec<CacheFile>,
    is_clone: bool,
    last_use: Timestamp,
}

/// A removed file or clone; in a dry run, one that would be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The file or clone.
    pub path: PathBuf,
    /// Allocated bytes, with its stamps.
    pub bytes: u64,
    /// The time of its last use.
    pub last_use: Timestamp,
}

/// A file or clone that should be removed and stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The file or clone.
    pub path: PathBuf,
    /// The reason.
    pub why: String,
    /// Whether this is a failure; otherwise the file is in use.
    pub failed: bool,
}

/// The result of a prune.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// The removed files, the least recently used first.
    pub removed: Vec<Removed>,
    /// The files that stayed.
    pub kept: Vec<Kept>,
    /// Allocated bytes of the caches before; several names of one file count once.
    pub bytes_before: u64,
    /// Allocated bytes after it.
    pub bytes_after: u64,
    /// Bytes freed on the disk: a file with further names outside of the caches frees nothing.
    pub bytes_freed: u64,
}

/// Prunes the caches; with `dry`, only computes the result.
///
/// # Errors
/// When a cache cannot be listed. Failed removals are in [`Pruned::kept`].
pub fn prune(caches: &[Cache], limits: Limits, dry: bool) -> Result<Pruned, PathError> {
    let mut units = Vec::new();
    for (number, cache) in caches.iter().enumerate() {
        if !dry {
            sweep(&cache.path);
        }
        let mut files = files::list(&cache.path)?;
        if cache.purpose == Purpose::Sstate {
            // If the setting names another directory by mistake, it has no such files and loses none.
            files.retain(is_shared_state);
        }
        units.extend(group(number, files));
    }
    units.sort_by(|a, b| (a.last_use, &a.name).cmp(&(b.last_use, &b.name)));
    let mut account = Account::of(units.iter().flat_map(|unit| &unit.files));
    let mut pruned = Pruned {
        bytes_before: account.bytes,
        ..Pruned::default()
    };
    let open = open_files();
    for unit in &units {
        let old = limits.before.is_some_and(|before| unit.last_use < before);
        let too_much = limits.max_bytes.is_some_and(|most| account.bytes > most);
        if !old && !too_much {
            // The following ones were used later still.
            break;
        }
        let root = &caches[unit.cache].path;
        let path = root.join(&unit.name);
        let kept = |why: String, failed| Kept {
            path: path.clone(),
            why,
            failed,
        };
        if unit
            .files
            .iter()
            .any(|file| open.contains(&file.identity()))
        {
            pruned
                .kept
                .push(kept("a process has it open".to_owned(), false));
            continue;
        }
        let _locks = match locks(root, unit) {
            Some(locks) => locks,
            None => {
                pruned
                    .kept
                    .push(kept("BitBake has its lock".to_owned(), false));
                continue;
            }
        };
        let before = account.bytes;
        if !dry && let Err((file, error)) = remove(root, unit) {
            let why = format!("{} cannot be removed: {error}", file.display());
            pruned.kept.push(kept(why, true));
            continue;
        }
        for file in &unit.files {
            account.take(file);
        }
        pruned.removed.push(Removed {
            path,
            bytes: before - account.bytes,
            last_use: unit.last_use,
        });
    }
    if !dry {
        for cache in caches
            .iter()
            .filter(|cache| cache.purpose == Purpose::Sstate)
        {
            if pruned
                .removed
                .iter()
                .any(|removed| removed.path.starts_with(&cache.path))
            {
                warm::forget(&cache.path);
            }
        }
    }
    pruned.bytes_after = account.bytes;
    pruned.bytes_freed = account.freed;
    Ok(pruned)
}

/// The names of one file.
struct Links {
    bytes: u64,
    /// Names in the caches that still exist.
    inside: u64,
    /// Names outside of the caches.
    outside: u64,
}

/// The space that the caches occupy.
struct Account {
    links: HashMap<Identity, Links>,
    bytes: u64,
    freed: u64,
}

impl Account {
    fn of<'f>(files: impl Iterator<Item = &'f CacheFile>) -> Account {
        let mut links: HashMap<Identity, Links> = HashMap::new();
        for file in files {
            let known = links.entry(file.identity()).or_insert(Links {
                bytes: file.allocated(),
                inside: 0,
                outside: file.metadata.nlink(),
            });
            known.inside += 1;
            known.outside = known.outside.saturating_sub(1);
        }
        Account {
            bytes: links.values().map(|links| links.bytes).sum(),
            links,
            freed: 0,
        }
    }

    fn take(&mut self, file: &CacheFile) {
        let Some(links) = self.links.get_mut(&file.identity()) else {
            return;
        };
        links.inside = links.inside.saturating_sub(1);
        if links.inside == 0 {
            self.bytes = self.bytes.saturating_sub(links.bytes);
            if links.outside == 0 {
                self.freed += links.bytes;
            }
        }
    }
}

/// Whether a file is an archive of shared state or belongs to one: `sstate:<recipe>:…`.
fn is_shared_state(file: &CacheFile) -> bool {
    let name = file.name.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with("sstate:")
}

/// Removes leftovers of a killed process: half-removed clones and unfinished stamps. A failure does no harm,
/// because no code depends on them.
fn sweep(root: &Path) {
    let places = CLONES.iter().map(|clones| root.join(clones));
    for place in places.chain([root.to_owned()]) {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(OURS) else {
                continue;
            };
            if rest.starts_with(DOOMED) {
                let _ = fs::remove_dir_all(entry.path());
            } else if rest.starts_with("arch.") {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Groups files that BitBake uses together.
fn group(cache: usize, files: Vec<CacheFile>) -> Vec<Unit> {
    let mut units: BTreeMap<PathBuf, Unit> = BTreeMap::new();
    for file in files {
        let (name, is_clone) = unit_name(&file.name);
        let last_use = file.last_use();
        let unit = units.entry(name.clone()).or_insert(Unit {
            cache,
            name,
            files: Vec::new(),
            is_clone,
            last_use,
        });
        unit.last_use = unit.last_use.max(last_use);
        unit.files.push(file);
    }
    let mut units: Vec<Unit> = units.into_values().collect();
    // The lock of ISAR's packages protects a directory and is not removed.
    units.retain(|unit| {
        unit.files
            .iter()
            .any(|file| !has_extension(&file.name, "lock"))
    });
    units
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension() == Some(OsStr::new(extension))
}

/// The file or clone that `file` belongs to, and whether it is a clone.
fn unit_name(file: &Path) -> (PathBuf, bool) {
    let mut parts = file.iter();
    if let (Some(first), Some(second), Some(_)) = (parts.next(), parts.next(), parts.next())
        && CLONES.iter().any(|clones| first == OsStr::new(clones))
    {
        return (Path::new(first).join(second), true);
    }
    let mut name = file.to_owned();
    while ["done", "lock", "siginfo", "sig"]
        .iter()
        .any(|extension| has_extension(&name, extension))
    {
        name.set_extension("");
    }
    (name, false)
}

/// Acquires the locks of a unit; `None` if another process has one.
fn locks(root: &Path, unit: &Unit) -> Option<Vec<fs::File>> {
    let mut held = Vec::new();
    for file in &unit.files {
        if has_extension(&file.name, "lock")
            && let Ok(file) = fs::File::open(root.join(&file.name))
        {
            match try_lock(&file) {
                Ok(true) => held.push(file),
                Ok(false) => return None,
                // If the lock cannot be checked, the cache's own lock is enough.
                Err(_) => {}
            }
        }
    }
    Some(held)
}

/// Removes a unit file by file, stamps first: a stamp without its file would claim a complete download.
fn remove(root: &Path, unit: &Unit) -> Result<(), (PathBuf, io::Error)> {
    if unit.is_clone {
        return remove_clone(&root.join(&unit.name));
    }
    let rank = |file: &CacheFile| match &file.name {
        name if has_extension(name, "done") => 0,
        name if has_extension(name, "lock") => 2,
        _ => 1,
    };
    let mut files: Vec<&CacheFile> = unit.files.iter().collect();
    files.sort_by_key(|file| rank(file));
    for file in files {
        let path = root.join(&file.name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err((path, error)),
            _ => {}
        }
    }
    Ok(())
}

/// Renames a clone before removing its files, so that BitBake never sees an incomplete one.
fn remove_clone(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (path.to_owned(), error);
    let parent = crate::fs::parent(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let doomed = parent.join(format!("{OURS}{DOOMED}{name}"));
    let clear = |place: &Path| match fs::remove_dir_all(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    };
    clear(&doomed)?;
    fs::rename(path, &doomed).map_err(failed)?;
    clear(&doomed)
}

/// The files that processes have open, as far as this user may see them.
fn open_files() -> HashSet<Identity> {
    let mut found = HashSet::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let descriptors = fs::read_dir(process.path().join("fd"));
        for descriptor in descriptors.into_iter().flatten().flatten() {
            if let Ok(metadata) = fs::metadata(descriptor.path())
                && metadata.is_file()
            {
                found.insert((metadata.dev(), metadata.ino()));
            }
        }
    }
    found
}
