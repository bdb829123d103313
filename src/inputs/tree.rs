//! Tree hashes: the files of a directory, each with its hash, and one hash over all of them.
//!
//! Every file counts, whether git tracks it, ignores it or does not know it: BitBake reads every file. Excluded are
//! `.git`, Python's `__pycache__`, and the paths that the caller excludes, which are those that this tool writes.
//! Of a file, the name, the bytes and the executable bit count, as in git; of a link, its text, and its target too
//! when that is outside of the directory. Empty directories, owners and times do not count.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::fs::PathError;
use crate::inputs::cache::{ContentHash, HashCache, is_executable};

/// The kind of a file in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeFileKind {
    /// A regular file.
    File,
    /// A regular file with an executable bit.
    Executable,
    /// A symbolic link, hashed by its text.
    Link,
    /// A pipe, socket or device, without content.
    Special,
}

impl TreeFileKind {
    fn letter(self) -> char {
        match self {
            TreeFileKind::File => 'f',
            TreeFileKind::Executable => 'x',
            TreeFileKind::Link => 'l',
            TreeFileKind::Special => 's',
        }
    }
}

/// A file of a tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeFile {
    /// Its path in the tree. A name that is not UTF-8 is escaped.
    pub path: String,
    /// Its kind.
    pub kind: TreeFileKind,
    /// The hash of its content.
    pub hash: ContentHash,
}

/// The files of a directory, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTree {
    /// The files.
    pub files: Vec<TreeFile>,
    /// The hash over all files.
    pub hash: ContentHash,
}

/// Reads a directory, or a single file as a tree of one file without a name. Skips every absolute path in
/// `without` and everything below it.
///
/// # Errors
/// The first file that cannot be read.
pub fn read(
    root: &Path,
    without: &[PathBuf],
    cache: &mut HashCache,
) -> Result<FileTree, PathError> {
    let mut walker = TreeWalker {
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
        hasher.update([file.kind.letter() as u8]);
        hasher.update((file.path.len() as u64).to_le_bytes());
        hasher.update(file.path.as_bytes());
        hasher.update(file.hash);
    }
    Ok(FileTree {
        files,
        hash: hasher.finalize().into(),
    })
}

struct TreeWalker<'a> {
    real: PathBuf,
    without: &'a [PathBuf],
    cache: &'a mut HashCache,
    /// The directories from the root to the present one: a link back to one of them is not followed.
    above: BTreeSet<PathBuf>,
    files: Vec<TreeFile>,
}

impl TreeWalker<'_> {
    /// Adds the file or directory at `path`, called `name` in the tree. With `follow`, a link counts as its target.
    fn visit(&mut self, path: &Path, name: &str, follow: bool) -> Result<(), PathError> {
        let root = name.is_empty();
        let metadata = if root || follow {
            fs::metadata(path)
        } else {
            fs::symlink_metadata(path)
        }
        .map_err(PathError::on("read", path))?;
        let file_type = metadata.file_type();
        if file_type.is_dir() {
            return self.directory(path, name, &metadata);
        }
        self.cache.note(path, &metadata);
        if file_type.is_symlink() {
            return self.link(path, name);
        }
        let (kind, hash) = if !file_type.is_file() {
            (TreeFileKind::Special, [0; 32])
        } else if is_executable(&metadata) {
            (
                TreeFileKind::Executable,
                self.cache.hash_noted(path, &metadata)?,
            )
        } else {
            (TreeFileKind::File, self.cache.hash_noted(path, &metadata)?)
        };
        self.push(name, kind, hash);
        Ok(())
    }

    fn push(&mut self, name: &str, kind: TreeFileKind, hash: ContentHash) {
        let path = name.to_owned();
        self.files.push(TreeFile { path, kind, hash });
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
        // The directory's times show files that were added and removed during a build, unless excluded files are in it.
        if !holds_others {
            self.cache.note(path, seen);
        }
        Ok(())
    }

    fn link(&mut self, path: &Path, name: &str) -> Result<(), PathError> {
        let target = fs::read_link(path).map_err(PathError::on("read", path))?;
        let text = Sha256::digest(target.as_os_str().as_bytes()).into();
        self.push(name, TreeFileKind::Link, text);
        match fs::canonicalize(path) {
            // A target within the tree is added where it is.
            Ok(real) if real.starts_with(&self.real) => Ok(()),
            Ok(real) if self.without.iter().any(|place| real.starts_with(place)) => Ok(()),
            Ok(_) => self.visit(path, &format!("{name}/-> "), true),
            // A dangling link counts by its text alone.
            Err(_) => Ok(()),
        }
    }
}

fn is_left_out(name: &OsStr) -> bool {
    name == ".git" || name == "__pycache__"
}

/// A file name as text: injective, and without line ends.
fn escaped(name: &OsStr) -> String {
    match name.to_str() {
        Some(text) if !text.contains(['\\', '\n', '\r', '\t']) => text.to_owned(),
        _ => name.as_bytes().escape_ascii().to_string(),
    }
}
