//! One repository of a merged chain: which commit, where, and which of its directories are layers.
//!
//! Follows `Repo.factory` of kas 5.5: an explicit `null` removes a default, `overrides` replace commit, branch
//! and URL, and a repository without a URL is a local directory in which kas changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::kas::config::KasPlaces;
use crate::kas::yaml::{YamlNode, YamlValue};

/// The key that decides the revision of a clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KasPin {
    /// A commit: nothing can change it.
    Commit(String),
    /// A tag, which its owner can move.
    Tag(String),
    /// A branch, which moves.
    Branch(String),
    /// The old word for any of the three.
    Refspec(String),
    /// A local directory, whose files count as they are.
    Local,
}

/// A layer in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KasLayer {
    /// Its directory, relative to the repository; empty for the repository itself.
    pub name: String,
    /// Its priority in `bblayers.conf`; higher comes first.
    pub priority: i64,
}

/// A patch that kas applies to a clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KasPatch {
    /// Its key.
    pub id: String,
    /// The repository that holds the file.
    pub repo: String,
    /// The file, or directory with a `series`, relative to that repository.
    pub path: String,
}

/// A repository as kas sets it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KasRepo {
    /// Its key in `repos`.
    pub key: String,
    /// Its name: the directory of its clone in KAS_WORK_DIR.
    pub name: String,
    /// Its URL; none where it is a local directory.
    pub url: Option<String>,
    /// Where it is, absolute.
    pub path: PathBuf,
    /// The commit, where one is given; also beside a tag or branch.
    pub commit: Option<String>,
    /// The key that decides the revision.
    pub pin: KasPin,
    /// The branch that must contain the commit, where one is given.
    pub branch: Option<String>,
    /// The layers in use, in the order of the merged files.
    pub layers: Vec<KasLayer>,
    /// The patches, sorted by key as kas applies them.
    pub patches: Vec<KasPatch>,
    /// The signers of whom one must have signed the revision; none where it need not be signed.
    pub signers: Option<Vec<String>>,
}

impl KasRepo {
    /// The commit that nothing can change, where one is given; also as the old word `refspec`.
    #[must_use]
    pub fn fixed_commit(&self) -> Option<&str> {
        let is_commit = |word: &&String| {
            matches!(word.len(), 40 | 64) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        match &self.pin {
            KasPin::Commit(commit) => Some(commit),
            KasPin::Refspec(word) => Some(word).filter(is_commit).map(String::as_str),
            KasPin::Tag(_) | KasPin::Branch(_) | KasPin::Local => None,
        }
    }

    /// The identity of a clone's content: `commit`, or the branch or tag that it follows.
    #[must_use]
    pub fn described(&self) -> String {
        let from = self.url.as_deref().unwrap_or("local");
        match (self.fixed_commit(), &self.pin) {
            (Some(commit), _) => format!("{from} commit {commit}"),
            (None, KasPin::Tag(tag)) => format!("{from} tag {tag}"),
            (None, KasPin::Branch(branch)) if !branch.is_empty() => {
                format!("{from} branch {branch}")
            }
            (None, KasPin::Refspec(refspec)) => format!("{from} refspec {refspec}"),
            (None, _) => format!("{from} default branch"),
        }
    }
}

/// A repository's entry that kas refuses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("repository `{repo}`: {why}")]
pub struct RepoFault {
    /// Its key in `repos`.
    pub repo: String,
    /// The reason.
    pub why: String,
}

/// Values of an entry, where an explicit `null` is not the same as a missing key.
struct RepoEntryView<'a> {
    node: Option<&'a YamlNode>,
}

impl<'a> RepoEntryView<'a> {
    fn of(node: Option<&'a Arc<YamlNode>>) -> RepoEntryView<'a> {
        RepoEntryView {
            node: node.map(Arc::as_ref),
        }
    }

    /// The value under a key, `None` inside for `null`; the other value where the key is missing.
    fn or(&self, key: &str, other: Option<String>) -> Option<String> {
        match self.node.and_then(|node| node.get(key)) {
            Some(value) => scalar_text(value),
            None => other,
        }
    }
}

fn scalar_text(node: &YamlNode) -> Option<String> {
    match &node.value {
        YamlValue::Text(text) => Some(text.clone()),
        YamlValue::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Resolves the entry of one repository.
pub(super) fn resolve(
    merged: &YamlNode,
    key: &str,
    places: &KasPlaces,
) -> Result<KasRepo, RepoFault> {
    let refuse = |why: String| RepoFault {
        repo: key.to_owned(),
        why,
    };
    let entry_node = merged.at(["repos", key]);
    let entry = RepoEntryView { node: entry_node };
    let defaults = merged.at(["defaults", "repos"]);
    let defaults_view = RepoEntryView { node: defaults };
    let overrides = RepoEntryView::of(
        merged
            .at(["overrides", "repos"])
            .and_then(|repos| repos.get(key)),
    );
    let name = entry.or("name", Some(key.to_owned())).unwrap_or_default();
    let mut url = entry.or("url", None);
    let mut commit = entry.or("commit", None);
    let tag = entry.or("tag", defaults_view.or("tag", None));
    let mut branch = entry.or("branch", defaults_view.or("branch", None));
    let mut refspec = entry.or("refspec", defaults_view.or("refspec", None));
    if commit.is_none() && tag.is_none() && branch.is_none() && refspec.is_none() && url.is_some() {
        return Err(refuse(
            "it has a URL, and no commit, tag or branch".to_owned(),
        ));
    }
    if refspec.is_none() {
        commit = overrides.or("commit", commit);
        branch = overrides.or("branch", branch);
        url = overrides.or("url", url);
    } else if commit.is_some() || tag.is_some() || branch.is_some() {
        return Err(refuse(
            "it mixes the old `refspec` with commit, tag or branch".to_owned(),
        ));
    } else {
        refspec = overrides.or("commit", refspec);
    }
    let signers = signers(&entry).map_err(refuse)?;
    let url = url.filter(|url| !url.is_empty());
    let path = match entry.or("path", None) {
        // Joining keeps an absolute path as it is.
        Some(path) => places.work_dir.join(path),
        None if url.is_none() => places.root.clone(),
        None => places.work_dir.join(&name),
    };
    let pin = match (&url, &commit, &tag, &branch, &refspec) {
        (None, ..) => KasPin::Local,
        (_, _, Some(_), Some(_), _) => {
            return Err(refuse("it has both a tag and a branch".to_owned()));
        }
        (_, Some(commit), ..) => KasPin::Commit(commit.clone()),
        (_, _, Some(tag), ..) => KasPin::Tag(tag.clone()),
        (_, _, _, Some(branch), _) => KasPin::Branch(branch.clone()),
        (_, _, _, _, Some(refspec)) => KasPin::Refspec(refspec.clone()),
        // Overrides can take away what the entry had.
        _ => KasPin::Branch(String::new()),
    };
    let empty = YamlNode {
        span: 0..0,
        value: YamlValue::Null,
    };
    let layers = layers_in_use(entry_node.unwrap_or(&empty));
    Ok(KasRepo {
        layers: layers.map_err(refuse)?,
        patches: patches(entry_node, defaults).map_err(refuse)?,
        key: key.to_owned(),
        name,
        url,
        path,
        commit,
        pin,
        branch,
        signers,
    })
}

fn signers(entry: &RepoEntryView<'_>) -> Result<Option<Vec<String>>, String> {
    let get = |key| entry.node.and_then(|node| node.get(key));
    let signed = get("signed").is_some_and(|signed| signed.value == YamlValue::Bool(true));
    if !signed {
        return Ok(None);
    }
    let names: Vec<String> = get("allowed_signers")
        .map_or(&[][..], |signers| signers.items())
        .iter()
        .filter_map(|signer| signer.text().map(str::to_owned))
        .collect();
    match names.is_empty() {
        true => Err("it must be signed, and `allowed_signers` is empty".to_owned()),
        false => Ok(Some(names)),
    }
}

/// The layers of a repository's entry that are in use. Without `layers` the repository itself is one.
///
/// # Errors
/// A value of a layer that kas does not know.
pub fn layers_in_use(entry: &YamlNode) -> Result<Vec<KasLayer>, String> {
    let Some(layers) = entry.get("layers") else {
        return Ok(vec![KasLayer {
            name: String::new(),
            priority: 0,
        }]);
    };
    let mut used = Vec::new();
    for layer in layers.entries() {
        let priority = match &layer.node.value {
            YamlValue::Null => 0,
            YamlValue::Table(_) => match layer.node.get("prio").map(|prio| &prio.value) {
                Some(YamlValue::Int(priority)) => *priority,
                _ => 0,
            },
            YamlValue::Text(word) if DISABLED.contains(&word.as_str()) => continue,
            // Python: `False == 0`, and 0 is one of the words.
            YamlValue::Int(0) | YamlValue::Bool(false) => continue,
            _ => {
                return Err(format!(
                    "its layer `{}` has a value that kas does not know",
                    layer.key
                ));
            }
        };
        used.push(KasLayer {
            name: layer.key.clone(),
            priority,
        });
    }
    Ok(used)
}

/// The words that take a layer out of use; `disabled` is the one that kas documents.
const DISABLED: [&str; 6] = ["disabled", "excluded", "n", "no", "0", "false"];

fn patches(entry: Option<&YamlNode>, defaults: Option<&YamlNode>) -> Result<Vec<KasPatch>, String> {
    let default_repo = defaults
        .and_then(|defaults| defaults.at(["patches", "repo"]))
        .and_then(scalar_text);
    let table = entry.and_then(|entry| entry.get("patches"));
    let mut patches = Vec::new();
    for patch in table.map_or(&[][..], |table| table.entries()) {
        if patch.node.entries().is_empty() {
            continue;
        }
        let repo = RepoEntryView::of(Some(&patch.node)).or("repo", default_repo.clone());
        let path = patch.node.get("path").and_then(|path| scalar_text(path));
        let (Some(repo), Some(path)) = (repo, path) else {
            return Err(format!(
                "its patch `{}` names no repository or path",
                patch.key
            ));
        };
        patches.push(KasPatch {
            id: patch.key.clone(),
            repo,
            path,
        });
    }
    patches.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(patches)
}
