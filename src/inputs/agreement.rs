//! Whether kas reads a chain as this tool does: its dump and its clones against the gathered chain.
//!
//! The gatherer imitates kas, and kas has the last word. Where both agree on a chain, the gatherer's reading of it counts
//! for as long as every byte that was read is the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::inputs::chain::ResolvedChain;
use crate::inputs::checkout;
use crate::kas::config::KasRepo;
use crate::kas::dump::{KasDump, KeyDifference, first_difference};

/// The first difference between kas and this tool.
#[derive(Debug, Error)]
pub enum Disagreement {
    /// A value of the merged chain.
    #[error("the kas files do not mean the same: {0}")]
    Value(KeyDifference),
    /// A file that only kas read.
    #[error("kas read {0}, and isar-build-all did not")]
    OnlyKasReads(String),
    /// A file that only this tool read.
    #[error("isar-build-all read {}, and kas did not", .0.display())]
    OnlyToolReads(PathBuf),
    /// A clone is not at the commit that pins it.
    #[error("the clone of repository {repo} is at commit {head}, and the kas files pin {commit}")]
    Commit {
        /// The key of the repository.
        repo: String,
        /// The commit at HEAD.
        head: String,
        /// The commit in the kas files.
        commit: String,
    },
    /// The commit of a clone is unknown.
    #[error("the commit of the clone of repository {repo} in {} cannot be read", .path.display())]
    NoCommit {
        /// The key of the repository.
        repo: String,
        /// The clone.
        path: PathBuf,
    },
}

/// Compares a chain with kas's dump of it, and its pins with the clones that kas checked out.
///
/// # Errors
/// The first difference.
pub(super) fn check(chain: &ResolvedChain, dump: &KasDump) -> Result<(), Disagreement> {
    if let Some(difference) = first_difference(&dump.config, &chain.config.dump()) {
        return Err(Disagreement::Value(difference));
    }
    check_files(chain, dump)?;
    let mut clones = chain.repos.iter().filter(|repo| repo.url.is_some());
    clones.try_for_each(check_clone)
}

fn check_files(chain: &ResolvedChain, dump: &KasDump) -> Result<(), Disagreement> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut ours: BTreeSet<PathBuf> = chain
        .config
        .files
        .iter()
        .map(|file| real(&file.path))
        .collect();
    let all = ours.clone();
    for file in &dump.files {
        let path = match &chain.mounts {
            Some(mounts) => mounts.host(file).map(PathBuf::from),
            None => Some(PathBuf::from(file)),
        };
        match path.map(|path| real(&path)) {
            Some(path) if all.contains(&path) => drop(ours.remove(&path)),
            Some(path) => return Err(Disagreement::OnlyKasReads(path.display().to_string())),
            None => {
                return Err(Disagreement::OnlyKasReads(format!(
                    "{file} of its container"
                )));
            }
        }
    }
    match ours.into_iter().next() {
        Some(path) => Err(Disagreement::OnlyToolReads(path)),
        None => Ok(()),
    }
}

fn check_clone(repo: &KasRepo) -> Result<(), Disagreement> {
    let is_commit = |head: &String| {
        matches!(head.len(), 40 | 64) && head.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let Some(head) = checkout::head(&repo.path).filter(is_commit) else {
        return Err(Disagreement::NoCommit {
            repo: repo.key.clone(),
            path: repo.path.clone(),
        });
    };
    match repo.fixed_commit() {
        Some(commit) if !is_pin_of(commit, &head) => Err(Disagreement::Commit {
            repo: repo.key.clone(),
            head,
            commit: commit.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Whether `commit` names `head`, whole or abbreviated as git does.
fn is_pin_of(commit: &str, head: &str) -> bool {
    let commit = commit.to_ascii_lowercase();
    commit.len() >= 7 && head.starts_with(&commit)
}
