//! Faults of a chain that kas would refuse, found before kas is started: text that does not parse, files against kas's schema,
//! includes that lead nowhere, and repositories that contradict themselves.
//!
//! One [`ChainChecker`] serves all chains of a matrix, so that each file is read and validated once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::base::suggest;
use crate::kas::config::{
    self, ChainFault, DiskSource, KasConfig, KasPlaces, KasRepo, KasSource, RepoFault,
};
use crate::kas::schema::KasSchema;
use crate::kas::yaml::{YamlNode, YamlValue};

/// Where the clone of a repository is, if it is at the revision that the chain asks for.
pub type FindClone<'s> = dyn Fn(&KasRepo) -> Option<PathBuf> + 's;

/// Checks chains and collects their faults.
pub struct ChainChecker<'s> {
    source: CheckedSource<'s>,
    faults: Vec<ChainFault>,
}

/// Files on the disk, each validated when it is first read.
struct CheckedSource<'s> {
    disk: DiskSource,
    schema: Option<&'s KasSchema>,
    clone: &'s FindClone<'s>,
    validated: BTreeSet<PathBuf>,
    /// Violations of the schema, by file.
    violations: BTreeMap<PathBuf, Vec<Fault>>,
}

impl KasSource for CheckedSource<'_> {
    fn read(&mut self, path: &Path) -> Option<Result<Arc<YamlNode>, Fault>> {
        let read = self.disk.read(path);
        if let (Some(schema), Some(Ok(node))) = (self.schema, &read)
            && self.validated.insert(path.to_owned())
        {
            let faults = schema.faults(node);
            if !faults.is_empty() {
                self.violations.insert(path.to_owned(), faults);
            }
        }
        read
    }

    fn has_file(&self, path: &Path) -> bool {
        self.disk.has_file(path)
    }

    fn real(&self, path: &Path) -> PathBuf {
        self.disk.real(path)
    }

    fn checkout(&self, repo: &KasRepo) -> Option<PathBuf> {
        (self.clone)(repo)
    }
}

impl<'s> ChainChecker<'s> {
    /// A checker; without a schema it knows kas's other rules alone. Files of repositories that `clone` does not
    /// find are left to kas.
    #[must_use]
    pub fn new(schema: Option<&'s KasSchema>, clone: &'s FindClone<'s>) -> ChainChecker<'s> {
        ChainChecker {
            source: CheckedSource {
                disk: DiskSource::default(),
                schema,
                clone,
                validated: BTreeSet::new(),
                violations: BTreeMap::new(),
            },
            faults: Vec::new(),
        }
    }

    /// Checks one chain: absolute paths of its files, the first one first.
    pub fn chain(&mut self, files: &[PathBuf], places: &KasPlaces) {
        match config::load(files, places, &mut self.source) {
            // The schema explains a file's structure better than the rule that stopped on it.
            Err(fault) if self.source.violations.contains_key(&fault.file) => {}
            Err(fault) => self.push(*fault),
            Ok(config) => {
                for fault in repository_faults(&config) {
                    self.push(fault);
                }
            }
        }
    }

    fn push(&mut self, fault: ChainFault) {
        let is_known = |known: &ChainFault| known.file == fault.file && known.fault == fault.fault;
        if !self.faults.iter().any(is_known) {
            self.faults.push(fault);
        }
    }

    /// The faults of all chains so far, each once; `true` for those that only the schema has.
    #[must_use]
    pub fn into_faults(self) -> Vec<(ChainFault, bool)> {
        let violations = self
            .source
            .violations
            .into_iter()
            .flat_map(|(file, faults)| {
                faults
                    .into_iter()
                    .map(move |fault| ChainFault::of(&file, fault))
            });
        let mut all: Vec<(ChainFault, bool)> = violations.map(|fault| (fault, true)).collect();
        all.extend(self.faults.into_iter().map(|fault| (fault, false)));
        all
    }
}

/// The faults of the repositories of a merged chain.
fn repository_faults(config: &KasConfig) -> Vec<ChainFault> {
    let repos = config.merged.get("repos");
    let entries = repos.map_or(&[][..], |repos| repos.entries());
    let keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    let undeclared: Vec<&String> = config
        .missing_repos
        .iter()
        .filter(|name| !keys.contains(&name.as_str()))
        .collect();
    // A file that cannot be read yet may complete any entry.
    if undeclared.len() < config.missing_repos.len() {
        return Vec::new();
    }
    let mut faults: Vec<ChainFault> = undeclared
        .iter()
        .map(|name| unknown_include(config, name, &keys))
        .collect();
    for key in &keys {
        match config.repo(key) {
            Err(fault) => faults.push(repo_fault(config, &fault)),
            // kas changes nothing in a local directory, so its patches have no effect.
            Ok(repo) if repo.url.is_none() => {}
            Ok(repo) => {
                for patch in repo
                    .patches
                    .iter()
                    .filter(|patch| !keys.contains(&patch.repo.as_str()))
                {
                    let why = format!(
                        "its patch `{}` is in the repository `{}`, which the chain does not have",
                        patch.id, patch.repo
                    );
                    let fault = RepoFault {
                        repo: (*key).to_owned(),
                        why,
                    };
                    let mut fault = repo_fault(config, &fault);
                    fault.fault = fault.fault.hint(suggest::hint(
                        &patch.repo,
                        "its repositories are",
                        keys.iter().copied(),
                    ));
                    faults.push(fault);
                }
            }
        }
    }
    faults
}

/// A fault of a repository, at its entry in the last file that has one.
fn repo_fault(config: &KasConfig, fault: &RepoFault) -> ChainFault {
    let message = format!("kas refuses {fault}");
    let place = config.files.iter().rev().find_map(|file| {
        let entry = file.node.get("repos")?.entry(&fault.repo)?;
        Some((&file.path, entry.key_span.clone()))
    });
    match place {
        Some((file, span)) => ChainFault::of(file, Fault::at(span, message, "this repository")),
        None => {
            let file = config.files.last().map(|file| file.path.clone());
            ChainFault::of(&file.unwrap_or_default(), Fault::nowhere(message))
        }
    }
}

/// An include from a repository that no file of the chain has.
fn unknown_include(config: &KasConfig, name: &str, keys: &[&str]) -> ChainFault {
    let message =
        format!("an include names the repository `{name}`, which the chain does not have");
    let hint = suggest::hint(name, "its repositories are", keys.iter().copied());
    let place = config.files.iter().find_map(|file| {
        let includes = file.node.at(["header", "includes"])?;
        let include = includes.items().iter().find(|include| {
            include
                .get("repo")
                .is_some_and(|repo| repo.value == YamlValue::Text(name.to_owned()))
        })?;
        Some((&file.path, include.span.clone()))
    });
    match place {
        Some((file, span)) => ChainFault::of(
            file,
            Fault::at(span, message, "unknown repository").hint(hint),
        ),
        None => {
            let file = config.files.last().map(|file| file.path.clone());
            ChainFault::of(
                &file.unwrap_or_default(),
                Fault::nowhere(message).hint(hint),
            )
        }
    }
}

#[cfg(test)]
mod tests;
