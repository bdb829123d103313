//! Kas files on the disk, each read and parsed once.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::kas::config::{KasRepo, KasSource};
use crate::kas::yaml::{self, KasFileFormat, YamlNode};

/// Files on the disk, each read once.
#[derive(Default)]
pub struct DiskSource {
    files: HashMap<PathBuf, Option<Result<Arc<YamlNode>, Fault>>>,
}

impl KasSource for DiskSource {
    fn read(&mut self, path: &Path) -> Option<Result<Arc<YamlNode>, Fault>> {
        let read = |path: &Path| match std::fs::read(path) {
            Ok(bytes) => Some(parse_bytes(path, bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(Fault::nowhere(format!("cannot be read: {error}")))),
        };
        self.files
            .entry(path.to_owned())
            .or_insert_with(|| read(path))
            .clone()
    }

    fn has_file(&self, path: &Path) -> bool {
        path.exists()
    }

    fn real(&self, path: &Path) -> PathBuf {
        real_path(path)
    }

    fn checkout(&self, repo: &KasRepo) -> Option<PathBuf> {
        repo.path.is_dir().then(|| repo.path.clone())
    }
}

/// Parses a kas file of this name.
///
/// # Errors
/// The first place at which kas would refuse it.
pub fn parse_bytes(path: &Path, bytes: Vec<u8>) -> Result<Arc<YamlNode>, Fault> {
    let Some(format) = KasFileFormat::of(&path.to_string_lossy()) else {
        return Err(Fault::nowhere(
            "kas reads files named `.yml`, `.yaml` and `.json`",
        ));
    };
    match String::from_utf8(bytes) {
        Ok(text) => yaml::load(&text, format),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            Err(Fault::at(at..at + 1, "not UTF-8", "this byte").hint("save it as UTF-8"))
        }
    }
}

/// As `pathlib.Path.resolve`: links followed as far as the path exists, the rest by its words.
#[must_use]
pub fn real_path(path: &Path) -> PathBuf {
    let mut done = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                done.pop();
            }
            Component::CurDir => {}
            part => {
                done.push(part);
                if let Ok(real) = std::fs::canonicalize(&done) {
                    done = real;
                }
            }
        }
    }
    done
}
