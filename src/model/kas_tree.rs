//! What is known of the kas files of a matrix, read before by [`crate::kas`], and the faults that
//! follow from it. Knows nothing of the file system.

use std::collections::BTreeMap;

use super::faults::{Fault, Faults, FileFaults};
use super::read::assemble::KasUse;

/// How a file that a chain names was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It can be read. What is wrong within it is in [`KasTree::faulty`].
    Readable,
    /// There is none; a name near it, if there is one.
    Missing(Option<String>),
    /// It lies outside the repository with this root.
    Outside(String),
    /// It cannot be read.
    Unreadable(String),
}

/// An overlay of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// As it was given.
    pub given: String,
    /// Relative to the directory of variants.toml.
    pub file: String,
}

/// The kas files of a matrix.
#[derive(Debug, Clone, Default)]
pub struct KasTree {
    /// The root of the repository that kas resolves includes against, as the user would write it.
    pub root: String,
    /// Each file of a chain.
    pub found: BTreeMap<String, Found>,
    /// For each readable file, included ones too, the files that it includes, in order.
    pub includes: BTreeMap<String, Vec<String>>,
    /// The text of each file that was read, included ones too.
    pub sources: BTreeMap<String, String>,
    /// Faults within kas files.
    pub faulty: Vec<FileFaults>,
    /// What kas versions disagree on.
    pub warnings: Vec<FileFaults>,
}

impl KasTree {
    /// The faults of the chains of variants.toml: files that cannot be used.
    #[must_use]
    pub fn chain_faults(&self, uses: &[KasUse]) -> Faults {
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

    /// Every file that a chain reads, included ones before those that include them, each once: what
    /// the configuration of a variant depends on.
    #[must_use]
    pub fn closure(&self, chain: &[String]) -> Vec<String> {
        let mut out = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for file in chain {
            self.visit(file, &mut seen, &mut out);
        }
        out
    }

    fn visit<'t>(
        &'t self,
        file: &'t str,
        seen: &mut std::collections::BTreeSet<&'t str>,
        out: &mut Vec<String>,
    ) {
        if !seen.insert(file) {
            return;
        }
        for included in self.includes.get(file).into_iter().flatten() {
            self.visit(included, seen, out);
        }
        out.push(file.to_owned());
    }
}

fn fault(found: &Found, what: &str, file: &str) -> Option<Fault> {
    match found {
        Found::Readable => None,
        Found::Missing(near) => {
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "create it, or correct the path".to_owned(),
            };
            Some(Fault::nowhere(format!("{what} `{file}` does not exist")).hint(hint))
        }
        Found::Outside(root) => Some(
            Fault::nowhere(format!(
                "{what} `{file}` lies outside the repository `{root}`"
            ))
            .hint("kas takes files of one repository only: copy it into the repository"),
        ),
        Found::Unreadable(why) => Some(
            Fault::nowhere(format!("{what} `{file}` cannot be read: {why}"))
                .hint("check that it is a file and its permissions"),
        ),
    }
}
