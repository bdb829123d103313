//! The project that a state directory belongs to: records and build directories of two projects would be mixed up.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::fs::{PathError, replace};
use crate::state::StateDir;

/// A state directory that cannot be used for a project.
#[derive(Debug, Error)]
pub enum StateOwnerError {
    /// It belongs to another project.
    #[error(
        "the state directory {} belongs to the project in {}",
        state.display(),
        owner.display()
    )]
    Foreign {
        /// The state directory.
        state: PathBuf,
        /// The directory of its project.
        owner: PathBuf,
        /// The file that names the project.
        file: PathBuf,
    },
    /// A path cannot be read or written.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl StateOwnerError {
    /// The remedy, where there is one to name.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            StateOwnerError::Foreign { file, .. } => Some(format!(
                "set `state-dir` for each project; if this project was moved, remove {}",
                file.display()
            )),
            StateOwnerError::Path(error) => error.hint(),
        }
    }
}

impl StateDir {
    /// Makes the existing state directory that of the project in `project_dir`, or confirms that it is. The path is
    /// kept relative to the state directory, so that both can be moved together.
    ///
    /// # Errors
    /// [`StateOwnerError::Foreign`] where another project has it.
    pub fn claim(&self, project_dir: &Path) -> Result<(), StateOwnerError> {
        let file = self.root().join("project");
        let own = project_from(self.root(), project_dir)?;
        let known = fs::read(&file).map(|bytes| {
            let name = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            PathBuf::from(OsStr::from_bytes(name))
        });
        match known {
            Ok(known) if known == own => Ok(()),
            Ok(known) => Err(StateOwnerError::Foreign {
                state: self.root().to_owned(),
                owner: plain(&self.root().join(known)),
                file,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let line = [own.as_os_str().as_bytes(), b"\n"].concat();
                Ok(replace(&file, &line, None)?)
            }
            Err(error) => Err(PathError::on("read", &file)(error).into()),
        }
    }
}

/// The path from a state directory to a project, links resolved.
fn project_from(state: &Path, project_dir: &Path) -> Result<PathBuf, PathError> {
    let real = |path: &Path| fs::canonicalize(path).map_err(PathError::on("read", path));
    let (state, project) = (real(state)?, real(project_dir)?);
    let common = state
        .components()
        .zip(project.components())
        .take_while(|(one, other)| one == other)
        .count();
    let up = state
        .components()
        .skip(common)
        .map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(project.components().skip(common)).collect();
    Ok(path)
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_belongs_to_one_project_and_moves_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let (one, other) = (at("tree/one"), at("tree/other"));
        let state = StateDir::at(at("tree/state"));

        state.claim(&one).unwrap();
        state.claim(&one).unwrap();
        let error = state.claim(&other).unwrap_err();

        let owner = fs::canonicalize(&one).unwrap();
        assert!(
            matches!(&error, StateOwnerError::Foreign { owner: named, .. } if fs::canonicalize(named).unwrap() == owner),
            "{error}"
        );
        fs::rename(dir.path().join("tree"), dir.path().join("moved")).unwrap();
        let state = StateDir::at(dir.path().join("moved/state"));
        state.claim(&dir.path().join("moved/one")).unwrap();
    }
}
