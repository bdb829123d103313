//! The kas files of a matrix, as plain data, and the faults that follow from them. [`crate::kas::read`] fills it in.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::fault::{Fault, Faults, FileFaults};
use crate::matrix::assembly::KasFileUse;

/// The state of a file that a chain names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainFileState {
    /// It can be read. Faults in it are in [`KasTree::faulty`].
    Readable,
    /// It does not exist. The name is that of a similar file in the same directory.
    Missing(Option<String>),
    /// It is outside of the repository with this root.
    Outside(String),
    /// It cannot be read, for this reason.
    Unreadable(String),
}

/// An overlay of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// As the user wrote it.
    pub given: String,
    /// Relative to the directory of variants.toml.
    pub file: String,
}

/// The kas files of a matrix. File names are relative to the directory of variants.toml.
#[derive(Debug, Clone, Default)]
pub struct KasTree {
    /// The root of the repository that includes are relative to.
    pub root: String,
    /// The files of the chains.
    pub found: BTreeMap<String, ChainFileState>,
    /// The files that each readable file includes, in order; a lock file counts as included.
    pub includes: BTreeMap<String, Vec<String>>,
    /// The text of each file that was read.
    pub sources: BTreeMap<String, String>,
    /// Faults in kas files.
    pub faulty: Vec<FileFaults>,
    /// Places that versions of kas read differently.
    pub warnings: Vec<FileFaults>,
}

impl KasTree {
    /// The faults of the chains in variants.toml: files that cannot be used.
    #[must_use]
    pub fn chain_faults(&self, uses: &[KasFileUse]) -> Faults {
        uses.iter()
            .filter_map(|used| {
                let fault = fault(self.found.get(&used.file)?, "kas file", &used.file)?;
                let label = format!("used by {}", used.variant);
                Some(Fault {
                    span: Some(used.span.clone()),
                    label,
                    ..fault
                })
            })
            .collect()
    }

    /// The faults of overlays of the command line.
    #[must_use]
    pub fn overlay_faults(&self, overlays: &[Overlay]) -> Faults {
        overlays
            .iter()
            .filter_map(|overlay| fault(self.found.get(&overlay.file)?, "overlay", &overlay.given))
            .collect()
    }

    /// Every file that a chain reads, each once, an included file before the file that includes it. Ends also for
    /// includes that form a cycle.
    #[must_use]
    pub fn closure(&self, chain: &[String]) -> Vec<String> {
        let mut out = Vec::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        // Files whose includes are being visited, each with the number of those visited.
        let mut open: Vec<(&str, usize)> = Vec::new();
        for file in chain {
            if seen.insert(file) {
                open.push((file, 0));
            }
            while let Some((file, visited)) = open.last_mut() {
                let included = self
                    .includes
                    .get(*file)
                    .and_then(|all| all.get(*visited))
                    .map(String::as_str);
                *visited += 1;
                match included {
                    Some(included) if seen.insert(included) => open.push((included, 0)),
                    Some(_) => {}
                    None => {
                        out.push((*file).to_owned());
                        open.pop();
                    }
                }
            }
        }
        out
    }

    /// The value that kas' merge gives a key that `own` reads from one file: a file's own value wins over those of
    /// its includes, and a later include over an earlier one. Ends also for includes that form a cycle.
    pub fn merged<'t, T>(&'t self, file: &'t str, own: impl Fn(&'t str) -> Option<T>) -> Option<T> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open = vec![file];
        while let Some(file) = open.pop() {
            if !seen.insert(file) {
                continue;
            }
            if let Some(value) = own(file) {
                return Some(value);
            }
            let included = self.includes.get(file).into_iter().flatten();
            open.extend(included.map(String::as_str));
        }
        None
    }
}

fn fault(found: &ChainFileState, what: &str, file: &str) -> Option<Fault> {
    match found {
        ChainFileState::Readable => None,
        ChainFileState::Missing(near) => {
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "create it, or correct the path".to_owned(),
            };
            Some(Fault::nowhere(format!("{what} `{file}` does not exist")).hint(hint))
        }
        ChainFileState::Outside(root) => Some(
            Fault::nowhere(format!(
                "{what} `{file}` is outside the repository `{root}`"
            ))
            .hint("kas reads files of one repository only: copy it into the repository"),
        ),
        ChainFileState::Unreadable(why) => Some(
            Fault::nowhere(format!("{what} `{file}` cannot be read: {why}"))
                .hint("check that it is a file and its permissions"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(includes: &[(&str, &[&str])]) -> KasTree {
        KasTree {
            includes: includes
                .iter()
                .map(|(file, included)| {
                    let included = included.iter().map(|&file| file.to_owned()).collect();
                    ((*file).to_owned(), included)
                })
                .collect(),
            ..KasTree::default()
        }
    }

    #[test]
    fn walks_over_a_cycle_of_includes_end() {
        let tree = tree(&[
            ("x.yml", &["x.lock.yml", "y.yml"]),
            ("x.lock.yml", &["x.yml"]),
        ]);

        assert_eq!(
            tree.closure(&["x.yml".to_owned()]),
            ["x.lock.yml", "y.yml", "x.yml"]
        );
        assert_eq!(tree.merged("x.yml", |_| None::<()>), None);
    }

    #[test]
    fn a_later_include_wins_over_an_earlier_one_and_its_includes() {
        let tree = tree(&[("top", &["one", "two"]), ("two", &["three"])]);
        let value = |of: &'static [&'static str]| {
            tree.merged("top", move |file| {
                of.contains(&file).then(|| file.to_owned())
            })
        };

        assert_eq!(value(&["one", "three"]).as_deref(), Some("three"));
        assert_eq!(value(&["two", "three"]).as_deref(), Some("two"));
        assert_eq!(value(&["one", "top"]).as_deref(), Some("top"));
    }

    #[test]
    fn a_long_chain_of_includes_needs_no_stack() {
        let mut tree = KasTree::default();
        for file in 0..50_000_usize {
            let included = vec![(file + 1).to_string()];
            tree.includes.insert(file.to_string(), included);
        }

        assert_eq!(tree.closure(&["0".to_owned()]).len(), 50_001);
        assert_eq!(tree.merged("0", |_| None::<()>), None);
    }
}
