//! The chains of a project's variants against kas's rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::failure::{Failure, FailureKind};
use crate::base::fault::{Faults, FileFaults};
use crate::inputs::checkout;
use crate::kas::chain_check::ChainChecker;
use crate::kas::config::{ChainFault, KasPlaces};
use crate::kas::schema::KasSchema;
use crate::kas::yaml::{self, KasFileFormat, YamlNode};
use crate::matrix::Variant;
use crate::project::Project;
use crate::settings::ExecutorChoice;

/// kas's schema, and whether it is that of the kas that builds.
#[derive(Debug, Clone, Copy)]
pub struct KnownSchema<'a> {
    /// The schema.
    pub schema: &'a KasSchema,
    /// Whether its kas is the one that builds; what another one does not know is only a warning.
    pub is_exact: bool,
}

impl Project {
    /// Checks the chains of variants against kas's rules, and returns warnings, rendered. Without a schema the
    /// structure of files is left to kas.
    ///
    /// # Errors
    /// Everything that kas would refuse, each with its file and line.
    pub fn check_chains<'v>(
        &self,
        variants: impl IntoIterator<Item = &'v Variant>,
        schema: Option<KnownSchema<'_>>,
        color: bool,
    ) -> Result<String, Failure> {
        let clone = |repo: &_| {
            let repo: &crate::kas::config::KasRepo = repo;
            checkout::is_usable(repo, &repo.path).then(|| repo.path.clone())
        };
        let mut checker = ChainChecker::new(schema.map(|known| known.schema), &clone);
        let root = self.directory.join(&self.kas.root);
        let root = fs::canonicalize(&root).unwrap_or(root);
        let mut seen = BTreeSet::new();
        for variant in variants {
            // Clones are below the work directory of each variant, so equal chains of variants may differ.
            let work_dir = self.dirs(variant).work;
            let files = variant.kas.iter().map(|file| self.directory.join(file));
            let files: Vec<PathBuf> = files.collect();
            let places = KasPlaces {
                root: root.clone(),
                in_container: self.settings.executor.value == ExecutorChoice::KasContainer,
                work_dir: match work_dir.is_dir() {
                    true => work_dir,
                    false => PathBuf::from("/nonexistent"),
                },
            };
            if seen.insert((files.clone(), places.work_dir.clone())) {
                checker.chain(&files, &places);
            }
        }
        let is_warning = |is_violation| is_violation && !schema.is_some_and(|known| known.is_exact);
        let (warnings, faults): (Vec<_>, Vec<_>) = checker
            .into_faults()
            .into_iter()
            .partition(|(_, is_violation)| is_warning(*is_violation));
        let faults = self.by_file(faults.into_iter().map(|(fault, _)| fault));
        if !faults.is_empty() {
            let total: usize = faults.iter().map(|file| file.faults.len()).sum();
            let names: Vec<&str> = faults.iter().map(|file| file.file_name.as_str()).collect();
            let noun = if total == 1 { "fault" } else { "faults" };
            let each: Vec<String> = faults.iter().map(|file| file.render(color)).collect();
            return Err(Failure::report(
                FailureKind::Configuration,
                format!(
                    "{}\nerror: {total} {noun} in {}\n",
                    each.join("\n"),
                    names.join(", ")
                ),
            ));
        }
        let warnings = self.by_file(warnings.into_iter().map(|(fault, _)| fault));
        let each = warnings.iter().map(|file| {
            file.faults
                .render_warnings(&file.file_name, &file.source, color)
        });
        Ok(each.collect())
    }

    /// The faults by file, in the order of first mention, with the text that messages show.
    fn by_file(&self, faults: impl Iterator<Item = ChainFault>) -> Vec<FileFaults> {
        let mut files: Vec<FileFaults> = Vec::new();
        for fault in faults {
            let name = self.relative(&fault.file);
            let known = files.iter().position(|file| file.file_name == name);
            let index = known.unwrap_or_else(|| {
                files.push(FileFaults {
                    file_name: name,
                    source: shown_text(&fault.file),
                    faults: Faults::new(),
                });
                files.len() - 1
            });
            files[index].faults.push(fault.fault);
        }
        files
    }
}

/// A kas file's text with the values of `env` hidden: a message shows the lines around a fault.
fn shown_text(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let Some(format) = KasFileFormat::of(&path.to_string_lossy()) else {
        return text;
    };
    match yaml::load(&text, format) {
        Ok(node) => hide_env(text, &node),
        Err(_) => text,
    }
}

/// Replaces each byte of the values below `env` by `*`, line breaks kept, so that places stay right.
fn hide_env(text: String, file: &YamlNode) -> String {
    let Some(env) = file.get("env") else {
        return text;
    };
    let mut bytes = text.into_bytes();
    for entry in env.entries() {
        let span = entry.node.span.clone();
        for byte in bytes.get_mut(span).into_iter().flatten() {
            if !matches!(byte, b'\n' | b'\r') {
                *byte = b'*';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_env_are_hidden_and_lines_stay() {
        let text = "env:\n  A: secret\n  B: |\n    one\n    two\nmachine: m\n";
        let file = yaml::load(text, KasFileFormat::Yaml).unwrap();

        let shown = hide_env(text.to_owned(), &file);

        assert!(!shown.contains("secret") && !shown.contains("one") && !shown.contains("two"));
        assert!(shown.starts_with("env:\n  A: ******\n  B: *"), "{shown}");
        assert!(shown.ends_with("machine: m\n"), "{shown}");
        assert_eq!(shown.len(), text.len());
    }
}
