//! Faults of a download cache: foreign programs and packages, ambiguous names, incomplete downloads.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::base::arch::Arch;
use crate::base::pattern::Pattern;
use crate::caches::files;
use crate::caches::files::{CLONES, CacheFile, PACKAGES};
use crate::fs::PathError;
use crate::inspect::executable;
use crate::inspect::executable::{HEAD, HeaderMachine};

/// A file of a cache that is for another architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// Relative to the cache.
    pub file: PathBuf,
    /// `ELF`, `PE` or `deb`.
    pub format: &'static str,
    /// Its architecture.
    pub arch: Arch,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.format {
            "deb" => write!(f, "{file} is a package for {}", self.arch),
            format => write!(f, "{file} is a program for {} ({format})", self.arch),
        }
    }
}

/// The programs in a download cache for another architecture than the cache's, `arch`. Clones and packages of
/// the archive are skipped: BitBake cannot confuse them. Reads only the first bytes of each file.
///
/// `allowed` are globs over file names.
///
/// # Errors
/// When a file or directory cannot be read.
pub fn foreign(dir: &Path, arch: Arch, allowed: &[Pattern]) -> Result<Vec<Foreign>, PathError> {
    let mut found = Vec::new();
    for file in downloads(dir)? {
        if is_stamp(&file) || is_allowed(&file, allowed) {
            continue;
        }
        let path = dir.join(&file.name);
        let head = files::head(&path, HEAD).map_err(PathError::on("read", &path))?;
        match head.as_deref().and_then(executable::machine) {
            Some((format, HeaderMachine::Of(other))) if other != arch => found.push(Foreign {
                file: file.name,
                format: format.as_str(),
                arch: other,
            }),
            _ => {}
        }
    }
    Ok(found)
}

/// Packages for another architecture, by their names, outside of the archive's directories.
///
/// # Errors
/// When a directory cannot be read.
pub fn foreign_packages(
    dir: &Path,
    arch: Arch,
    allowed: &[Pattern],
) -> Result<Vec<Foreign>, PathError> {
    let of_another = |file: CacheFile| {
        let other = file
            .text()
            .strip_suffix(".deb")?
            .rsplit_once('_')?
            .1
            .parse::<Arch>()
            .ok()?;
        (other != arch && !is_allowed(&file, allowed)).then_some(Foreign {
            file: file.name,
            format: "deb",
            arch: other,
        })
    };
    Ok(downloads(dir)?.into_iter().filter_map(of_another).collect())
}

/// The files that BitBake downloaded; without clones.
fn downloads(dir: &Path) -> Result<Vec<CacheFile>, PathError> {
    files::list_without(dir, &[CLONES, PACKAGES].concat())
}

fn is_stamp(file: &CacheFile) -> bool {
    matches!(extension(file), Some("done" | "lock"))
}

fn is_allowed(file: &CacheFile, allowed: &[Pattern]) -> bool {
    let name = file.name.file_name().unwrap_or_default().to_string_lossy();
    allowed.iter().any(|glob| glob.matches(&name))
}

fn extension(file: &CacheFile) -> Option<&str> {
    file.name.extension()?.to_str()
}

/// A name with different contents in several caches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ambiguous {
    /// Relative to each cache.
    pub file: PathBuf,
    /// The architectures whose caches have it.
    pub archs: Vec<Arch>,
}

/// The names with different contents in several download caches. Reads files of equal size completely.
///
/// # Errors
/// When a file or directory cannot be read.
pub fn ambiguous(caches: &[(Arch, &Path)]) -> Result<Vec<Ambiguous>, PathError> {
    let mut by_name: BTreeMap<PathBuf, Vec<(Arch, PathBuf)>> = BTreeMap::new();
    for (arch, dir) in caches {
        for file in downloads(dir)? {
            if is_stamp(&file) || is_unfinished(&file) || is_bundle(&file) {
                continue;
            }
            let path = dir.join(&file.name);
            by_name.entry(file.name).or_default().push((*arch, path));
        }
    }
    let mut found = Vec::new();
    for (file, places) in by_name {
        if !all_equal(&places)? {
            let archs = places.into_iter().map(|(arch, _)| arch).collect();
            found.push(Ambiguous { file, archs });
        }
    }
    Ok(found)
}

/// Whether a file is a bundle of a clone. BitBake packs it itself, so its bytes always differ.
fn is_bundle(file: &CacheFile) -> bool {
    let name = file.text();
    name.starts_with("git2_") || name.starts_with("gitshallow_")
}

fn all_equal(places: &[(Arch, PathBuf)]) -> Result<bool, PathError> {
    let [(_, first), rest @ ..] = places else {
        return Ok(true);
    };
    let mut first_digest = None;
    for (_, other) in rest {
        if length(first)? != length(other)? {
            return Ok(false);
        }
        let known = match &first_digest {
            Some(known) => known,
            None => first_digest.insert(digest(first)?),
        };
        if *known != digest(other)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn length(path: &Path) -> Result<u64, PathError> {
    match path.metadata() {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(PathError::on("look at", path)(error)),
    }
}

/// The SHA-256 of a file; that of an empty file if it does not exist.
fn digest(path: &Path) -> Result<[u8; 32], PathError> {
    let mut hasher = Sha256::new();
    if let Some(mut file) = files::open(path).map_err(PathError::on("open", path))? {
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => hasher.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(PathError::on("read", path)(error)),
            }
        }
    }
    Ok(hasher.finalize().into())
}

/// An incomplete download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnfinishedDownload {
    /// Relative to the cache.
    pub file: PathBuf,
    /// The sign of incompleteness.
    pub sign: &'static str,
}

/// The incomplete downloads of a cache. During a build, some are only not finished yet.
///
/// BitBake writes `<name>.done` into the top directory when a download is complete and verified.
///
/// # Errors
/// When a directory cannot be read.
pub fn unfinished(dir: &Path) -> Result<Vec<UnfinishedDownload>, PathError> {
    let found = files::list_without(dir, CLONES)?;
    let is_there = |name: &Path| {
        found
            .binary_search_by(|file| file.name.as_path().cmp(name))
            .is_ok()
    };
    let sign = |file: &CacheFile| -> Option<&'static str> {
        if is_unfinished(file) {
            return Some("its name is that of a partial download");
        }
        if file.is_below(PACKAGES) {
            return None;
        }
        let path = &file.name;
        let base = Path::new(path.file_name()?).to_owned();
        match extension(file) {
            Some("done") => None,
            Some("lock") => {
                let of = path.with_extension("");
                let base = base.with_extension("");
                let done = crate::fs::with_suffix(&base, ".done");
                let orphan = !is_there(&of) && !is_there(&done) && !dir.join(&of).exists();
                orphan.then_some("a lock without a download")
            }
            _ => {
                let beside = crate::fs::with_suffix(path, ".done");
                let at_top = crate::fs::with_suffix(&base, ".done");
                (!is_there(&beside) && !is_there(&at_top)).then_some("it has no .done stamp")
            }
        }
    };
    Ok(found
        .iter()
        .filter_map(|file| {
            Some(UnfinishedDownload {
                sign: sign(file)?,
                file: file.name.clone(),
            })
        })
        .collect())
}

fn is_unfinished(file: &CacheFile) -> bool {
    matches!(
        extension(file),
        Some("part" | "partial" | "tmp" | "aria2" | "wget-tmp")
    )
}
