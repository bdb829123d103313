//! Relative paths between files, repository roots, and names similar to that of a missing file.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::base::suggest;

/// The root of the git or Mercurial repository that contains a directory.
#[must_use]
pub fn repository_root(dir: &Path) -> Option<&Path> {
    dir.ancestors()
        .find(|dir| dir.join(".git").exists() || dir.join(".hg").is_dir())
}

/// The relative path from `base` to `path`, which are absolute and without `..`.
#[must_use]
pub fn relative(path: &Path, base: &Path) -> String {
    let path: Vec<Component<'_>> = path.components().collect();
    let base: Vec<Component<'_>> = base.components().collect();
    let common = path
        .iter()
        .zip(&base)
        .take_while(|(one, other)| one == other)
        .count();
    let mut out = PathBuf::new();
    for _ in common..base.len() {
        out.push("..");
    }
    for part in &path[common..] {
        out.push(part);
    }
    if out.as_os_str().is_empty() {
        out.push(".");
    }
    out.to_string_lossy().into_owned()
}

/// A path with `.` and `..` resolved lexically.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// A file in the directory of a missing one with a similar name, spelled like `written`.
pub(super) fn near(path: &Path, written: &str) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let names: Vec<String> = fs::read_dir(path.parent()?)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    let near = suggest::nearest(wanted, names)?;
    Some(
        Path::new(written)
            .with_file_name(near)
            .to_string_lossy()
            .into_owned(),
    )
}
