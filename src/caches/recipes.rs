//! Recipes of the project's own layers, read from the disk for [`crate::bitbake::src_uri`].

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::bitbake::src_uri::{Collision, Differs, Recipe, collisions};
use crate::fs::PathError;

/// The result of a scan.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The number of recipes, append files and includes that were read.
    pub files: usize,
    /// The ambiguous downloads, sorted by file and line.
    pub collisions: Vec<Collision>,
}

/// Reads every `.bb`, `.bbappend` and `.inc` below the layers. File names in the result are relative to `base`
/// if they are below it. Skips directories that are repositories of their own.
///
/// # Errors
/// When a file or directory cannot be read. A missing layer counts as empty.
pub fn scan(layers: &[PathBuf], base: &Path, differs: Differs) -> Result<Scanned, PathError> {
    let mut directories: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for layer in layers {
        collect(layer, &mut directories)?;
    }
    let mut scanned = Scanned::default();
    for mut paths in directories.into_values() {
        paths.sort();
        paths.dedup();
        let mut recipes = Vec::new();
        for path in paths {
            let bytes = fs::read(&path).map_err(PathError::on("read", &path))?;
            let shown = path.strip_prefix(base).unwrap_or(&path).display();
            let text = String::from_utf8_lossy(&bytes);
            recipes.push(Recipe::read(&shown.to_string(), &text));
        }
        scanned.files += recipes.len();
        scanned.collisions.extend(collisions(&recipes, differs));
    }
    Ok(scanned)
}

/// Collects recipes by their directory.
fn collect(layer: &Path, into: &mut BTreeMap<PathBuf, Vec<PathBuf>>) -> Result<(), PathError> {
    let mut waiting = vec![layer.to_owned()];
    while let Some(directory) = waiting.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(PathError::on("list", &directory))?,
        };
        for entry in entries {
            let entry = entry.map_err(PathError::on("list", &directory))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(PathError::on("look at", &path))?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if kind.is_dir() && !hidden && !path.join(".git").exists() {
                waiting.push(path);
            } else if kind.is_file() && is_recipe(&path) {
                into.entry(directory.clone()).or_default().push(path);
            }
        }
    }
    Ok(())
}

fn is_recipe(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("bb" | "bbappend" | "inc"))
}
