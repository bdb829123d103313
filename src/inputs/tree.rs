//! The files of a directory, each with its hash, and one hash over all of them. Knows nothing of what
//! the directory is for.
//!
//! Every file counts, whether git tracks it, ignores it or has never seen it: BitBake reads what is
//! there. Left out are git's own directory, what Python makes of other files (`__pycache__`), and the
//! places that the caller names, which are those that we write ourselves. Of a file counts what git
//! counts: its name, its bytes, whether it is executable; of a link its text, and where it leads out of
//! the directory what it leads to. Empty directories, owners and times do not.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::cache::{Hash, HashCache, is_executable};
use crate::files::PathError;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A file.
    File,
    /// One that can be executed.
    Executable,
    /// A symbolic link; its hash is that of its text.
    Link,
    /// A pipe, socket or device; it has no content.
    Special,
}

impl What {
    fn letter(self) -> char {
        match self {
            What::File => 'f',
            What::Executable => 'x',
            What::Link => 'l',
            What::Special => 's',
        }
    }
}

/// A file of a tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeFile {
    /// Relative to the tree; what is not UTF-8 is escaped.
    pub path: String,
    /// What it is.
    pub what: What,
    /// Of its content.
    pub hash: Hash,
}

/// The files of a directory, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Each file.
    pub files: Vec<TreeFile>,
    /// Over all of them.
    pub hash: Hash,
}

/// Reads a directory, or a single file, which is a tree of one file without a name. What is at or below
/// one of `without` (absolute paths) is left out.
///
/// # Errors
/// The first file that cannot be read.
pub fn read(root: &Path, without: &[PathBuf], cache: &mut HashCache) -> Result<Tree, PathError> {
    let mut walker = Walker {
        real: fs::canonicalize(root).map_err(PathError::on("read", root))?,
        without,
        cache,
        above: BTreeSet::new(),
        files: Vec::new(),
    };
    walker.visit(root, "", false)?;
    let mut files = walker.files;
    files.sort();
    let mut hasher = Sha256::new();
    for file in &files {
        hasher.update([file.what.letter() as u8]);
        hasher.update((file.path.len() as u64).to_le_bytes());
        hasher.update(file.path.as_bytes());
        hasher.update(file.hash);
    }
    Ok(Tree {
        files,
        hash: hasher.finalize().into(),
    })
}

struct Walker<'a> {
    real: PathBuf,
    without: &'a [PathBuf],
    cache: &'a mut HashCache,
    /// The directories that we are in, to stop at a link that leads back.
    above: BTreeSet<PathBuf>,
    files: Vec<TreeFile>,
}

impl Walker<'_> {
    /// Takes what is at `path`, called `name` in the tree. `follow` looks through a link.
    fn visit(&mut self, path: &Path, name: &str, follow: bool) -> Result<(), PathError> {
        let root = name.is_empty();
        let metadata = if root || follow {
            fs::metadata(path)
        } else {
            fs::symlink_metadata(path)
        }
        .map_err(PathError::on("read", path))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.directory(path, name, &metadata);
        }
        self.cache.note(path, &metadata);
        if kind.is_symlink() {
            return self.link(path, name);
        }
        let (what, hash) = if !kind.is_file() {
            (What::Special, [0; 32])
        } else if is_executable(&metadata) {
            (What::Executable, self.cache.hash_seen(path, &metadata)?)
        } else {
            (What::File, self.cache.hash_seen(path, &metadata)?)
        };
        self.push(name, what, hash);
        Ok(())
    }

    fn push(&mut self, name: &str, what: What, hash: Hash) {
        let path = name.to_owned();
        self.files.push(TreeFile { path, what, hash });
    }

    fn directory(&mut self, path: &Path, name: &str, seen: &Metadata) -> Result<(), PathError> {
        let real = fs::canonicalize(path).map_err(PathError::on("read", path))?;
        if !self.above.insert(real.clone()) {
            return Ok(());
        }
        let mut holds_others = false;
        for entry in fs::read_dir(path).map_err(PathError::on("read", path))? {
            let entry = entry.map_err(PathError::on("read", path))?;
            let file_name = entry.file_name();
            let below = path.join(&file_name);
            if is_left_out(&file_name) || self.without.contains(&below) {
                holds_others = true;
                continue;
            }
            let file_name = escaped(&file_name);
            let below_name = if name.is_empty() {
                file_name
            } else {
                format!("{name}/{file_name}")
            };
            self.visit(&below, &below_name, false)?;
        }
        self.above.remove(&real);
        // Its times tell of files that came and went; where others write too, they tell nothing.
        if !holds_others {
            self.cache.note(path, seen);
        }
        Ok(())
    }

    fn link(&mut self, path: &Path, name: &str) -> Result<(), PathError> {
        let target = fs::read_link(path).map_err(PathError::on("read", path))?;
        let text = Sha256::digest(target.as_os_str().as_bytes()).into();
        self.push(name, What::Link, text);
        match fs::canonicalize(path) {
            // What it leads to within the tree is taken there.
            Ok(real) if real.starts_with(&self.real) => Ok(()),
            Ok(real) if self.without.iter().any(|place| real.starts_with(place)) => Ok(()),
            Ok(_) => self.visit(path, &format!("{name}/-> "), true),
            // It leads nowhere, and its text says where.
            Err(_) => Ok(()),
        }
    }
}

fn is_left_out(name: &OsStr) -> bool {
    name == ".git" || name == "__pycache__"
}

/// As text, so that different names are different texts and none has a line end.
fn escaped(name: &OsStr) -> String {
    match name.to_str() {
        Some(text) if !text.contains(['\\', '\n', '\r', '\t']) => text.to_owned(),
        _ => name.as_bytes().escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests;
