//! The file in a download cache that says for which architecture it is. Knows nothing of its content.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::base::arch::Arch;
use crate::caches::OURS;
use crate::fs::PathError;

/// Why a stamp does not let us in.
#[derive(Debug, Error)]
pub enum StampError {
    /// It names another architecture.
    #[error("the download cache {} is that of {stamped}, not of {wanted}", dir.display())]
    Another {
        /// The cache.
        dir: PathBuf,
        /// What its stamp says.
        stamped: Arch,
        /// What was to be built.
        wanted: Arch,
    },
    /// It names none.
    #[error("{} names no architecture", path.display())]
    Wild {
        /// The stamp.
        path: PathBuf,
    },
    /// The system's answer.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl StampError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            StampError::Another { dir, .. } => Some(format!(
                "every architecture needs a directory of its own, which is not linked to another's: ls -ld {}; or set another DL_DIR",
                dir.display()
            )),
            StampError::Wild { path } => Some(format!(
                "remove it; the cache is then looked through and stamped anew: rm {}",
                path.display()
            )),
            StampError::Path(error) => error.hint(),
        }
    }
}

fn place(dir: &Path) -> PathBuf {
    dir.join(format!("{OURS}arch"))
}

/// The architecture in the stamp of a cache; none where it has no stamp.
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

/// Whether a cache is stamped for this architecture; one without a stamp is not.
///
/// # Errors
/// When it is another's, or the stamp cannot be read.
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

/// Stamps a cache. Of several who want to, one does, and the others see what it said: the stamp
/// appears with its content, and only where there is none.
///
/// # Errors
/// When another was faster with another architecture, and what the system answers.
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
