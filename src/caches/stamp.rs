//! The stamp of a download cache: a file that names its architecture.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::base::arch::Arch;
use crate::caches::OURS;
use crate::fs::PathError;

/// Why a stamp does not allow the use of a cache.
#[derive(Debug, Error)]
pub enum StampError {
    /// It names another architecture.
    #[error("the download cache {} is for {stamped}, not for {wanted}", dir.display())]
    Another {
        /// The cache.
        dir: PathBuf,
        /// The architecture in the stamp.
        stamped: Arch,
        /// The architecture to build for.
        wanted: Arch,
    },
    /// It names no architecture.
    #[error("{} names no architecture", path.display())]
    Wild {
        /// The stamp.
        path: PathBuf,
    },
    /// An error of the file system.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl StampError {
    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            StampError::Another { dir, .. } => Some(format!(
                "every architecture needs a directory of its own, which is not linked to another's: ls -ld {}; or set another DL_DIR",
                dir.display()
            )),
            StampError::Wild { path } => Some(format!(
                "remove it, and the next run checks the cache and stamps it again: rm {}",
                path.display()
            )),
            StampError::Path(error) => error.hint(),
        }
    }
}

fn place(dir: &Path) -> PathBuf {
    dir.join(format!("{OURS}arch"))
}

/// The architecture in the stamp of a cache; `None` without a stamp.
///
/// # Errors
/// When the stamp cannot be read or names no architecture.
pub fn read(dir: &Path) -> Result<Option<Arch>, StampError> {
    let path = place(dir);
    let file = match fs::File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(PathError::on("open", &path))?,
    };
    let mut text = Vec::new();
    file.take(64)
        .read_to_end(&mut text)
        .map_err(PathError::on("read", &path))?;
    let word = String::from_utf8_lossy(&text);
    match word.trim().parse() {
        Ok(arch) => Ok(Some(arch)),
        Err(_) => Err(StampError::Wild { path }),
    }
}

/// Whether a cache has a stamp for this architecture; false without a stamp.
///
/// # Errors
/// When the stamp names another architecture or cannot be read.
pub fn check(dir: &Path, wanted: Arch) -> Result<bool, StampError> {
    match read(dir)? {
        None => Ok(false),
        Some(stamped) if stamped == wanted => Ok(true),
        Some(stamped) => Err(StampError::Another {
            dir: dir.to_owned(),
            stamped,
            wanted,
        }),
    }
}

/// Stamps a cache. If several processes try at once, one succeeds and the others read its stamp: the file
/// appears together with its content, and is never replaced.
///
/// # Errors
/// When another process was faster with another architecture, or the stamp cannot be written.
pub fn take(dir: &Path, arch: Arch) -> Result<(), StampError> {
    let path = place(dir);
    let failed = || PathError::on("make", &path);
    let mut part = tempfile::Builder::new()
        .prefix(&format!("{OURS}arch."))
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(dir)
        .map_err(failed())?;
    writeln!(part, "{arch}")
        .and_then(|()| part.as_file().sync_all())
        .map_err(failed())?;
    match part.persist_noclobber(&path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            check(dir, arch).map(|_| ())
        }
        Err(error) => Err(failed()(error.error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_stamps_it_and_all_see_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let outcomes: Vec<bool> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|number| {
                    let dir = dir.path();
                    let arch = [Arch::Amd64, Arch::Arm64][number % 2];
                    scope.spawn(move || take(dir, arch).is_ok())
                })
                .collect();
            workers.into_iter().map(|w| w.join().unwrap()).collect()
        });
        assert_eq!(
            outcomes.iter().filter(|good| **good).count(),
            4,
            "{outcomes:?}"
        );
        let stamped = read(dir.path()).unwrap();
        assert!(stamped.is_some());
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no part is left"
        );
    }

    #[test]
    fn a_stamp_that_says_nothing_is_no_stamp_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(place(dir.path()), "amd65\n").unwrap();
        let error = check(dir.path(), Arch::Amd64).unwrap_err();
        assert!(
            error.to_string().ends_with("names no architecture"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("rm "));
    }
}
