//! What a chain of kas files says of repositories, put together as kas does it: which are pinned, which
//! are local, what they patch; and whether the Debian archive is pinned. Pure: the files are read and
//! parsed before.
//!
//! The rules are those of kas 5.5 (`kas/includehandler.py`, `kas/repos.py`): files are merged in the
//! order in which they are read, a later one over an earlier one, entry by entry; `overrides` (what lock
//! files hold) come last; `defaults` fill what an entry leaves open.

mod apt;

use std::collections::BTreeMap;

/// What one file says of one patch; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatchEntry {
    /// Its name among the patches of a repository.
    pub id: String,
    /// The repository that has it.
    pub repo: Option<String>,
    /// Its path in that repository.
    pub path: Option<String>,
}

/// What one file says of one repository; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepoEntry {
    /// Where it is cloned from.
    pub url: Option<String>,
    /// Where it lies.
    pub path: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The older word for commit, tag or branch.
    pub refspec: Option<String>,
    /// Layers by directory, and whether each is used.
    pub layers: Option<Vec<(String, bool)>>,
    /// Its patches.
    pub patches: Vec<PatchEntry>,
}

impl RepoEntry {
    fn over(&mut self, later: &RepoEntry) {
        let text = |mine: &mut Option<String>, theirs: &Option<String>| {
            if theirs.is_some() {
                mine.clone_from(theirs);
            }
        };
        text(&mut self.url, &later.url);
        text(&mut self.path, &later.path);
        text(&mut self.branch, &later.branch);
        text(&mut self.tag, &later.tag);
        text(&mut self.commit, &later.commit);
        text(&mut self.refspec, &later.refspec);
        if let Some(layers) = &later.layers {
            let mine = self.layers.get_or_insert_default();
            for (name, used) in layers {
                mine.retain(|(known, _)| known != name);
                mine.push((name.clone(), *used));
            }
        }
        for patch in &later.patches {
            match self.patches.iter_mut().find(|mine| mine.id == patch.id) {
                Some(mine) => {
                    text(&mut mine.repo, &patch.repo);
                    text(&mut mine.path, &patch.path);
                }
                None => self.patches.push(patch.clone()),
            }
        }
    }

    /// Commits of git and Mercurial are forty digits, or sixty-four.
    fn pin(&self) -> Option<&str> {
        let is_commit = |word: &&String| {
            matches!(word.len(), 40 | 64) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        self.commit
            .as_ref()
            .or_else(|| self.refspec.as_ref().filter(is_commit))
            .map(String::as_str)
    }

    /// Where its files are.
    #[must_use]
    pub fn place(&self) -> RepoPlace<'_> {
        match (&self.url, &self.path) {
            (Some(_), path) => RepoPlace::Cloned(path.as_deref()),
            (None, Some(path)) => RepoPlace::At(path),
            (None, None) => RepoPlace::Own,
        }
    }

    /// The directories that it uses as layers; the repository itself is empty text.
    #[must_use]
    pub fn layers(&self) -> Vec<&str> {
        match &self.layers {
            None => vec![""],
            Some(layers) => layers
                .iter()
                .filter(|(_, used)| *used)
                .map(|(name, _)| if name == "." { "" } else { name.as_str() })
                .collect(),
        }
    }

    /// What its content is known by: `URL commit ID`, or what it follows.
    #[must_use]
    pub fn described(&self) -> String {
        let from = self.url.as_deref().unwrap_or("local");
        match (self.pin(), &self.tag, &self.branch, &self.refspec) {
            (Some(commit), ..) => format!("{from} commit {commit}"),
            (None, Some(tag), ..) => format!("{from} tag {tag}"),
            (None, None, Some(branch), _) => format!("{from} branch {branch}"),
            (None, None, None, Some(refspec)) => format!("{from} refspec {refspec}"),
            (None, None, None, None) => format!("{from} default branch"),
        }
    }
}

/// Where the files of a repository are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepoPlace<'a> {
    /// The repository of the kas files.
    Own,
    /// A directory; a relative one is in the work directory.
    At(&'a str),
    /// kas clones it, into this directory of the work directory or one of its name.
    Cloned(Option<&'a str>),
}

/// What one kas file says that matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KasFacts {
    /// Its repositories.
    pub repos: Vec<(String, RepoEntry)>,
    /// What it overrides; lock files do.
    pub overrides: Vec<(String, RepoEntry)>,
    /// What an entry without branch, tag or commit gets.
    pub defaults: RepoEntry,
    /// Variables that kas takes from its environment (`env`).
    pub variables: Vec<String>,
    /// What it includes: repository and file. The repository is empty where it is its own.
    pub includes: Vec<(String, String)>,
    /// The repository of a patch that names none.
    pub patch_repo: Option<String>,
    /// Its `bblayers_conf_header` and `local_conf_header`.
    pub headers: Vec<Header>,
}

/// A piece of BitBake's configuration, as it stands in a kas file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// `bblayers_conf_header` or `local_conf_header`; BitBake reads them in this order, the alphabet's.
    pub kind: &'static str,
    /// A later file replaces the text of the same name; the texts are written in the order of the names.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// The repositories of a chain, and what nothing pins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// By name.
    pub repos: BTreeMap<String, RepoEntry>,
    /// What is included from named repositories.
    pub includes: Vec<(String, String)>,
    /// The variables that kas takes from its environment, sorted.
    pub variables: Vec<String>,
    /// Whether an apt snapshot pins the Debian archive.
    pub apt_is_pinned: bool,
}

impl Merged {
    /// Puts files together, in the order in which kas merges them.
    #[must_use]
    pub fn of<'f>(files: impl IntoIterator<Item = &'f KasFacts>) -> Merged {
        let files: Vec<&KasFacts> = files.into_iter().collect();
        let mut merged = Merged::default();
        let mut headers: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        let mut patch_repo: Option<&String> = None;
        let mut defaults = RepoEntry::default();
        for file in &files {
            for (name, entry) in &file.repos {
                merged.repos.entry(name.clone()).or_default().over(entry);
            }
            defaults.over(&file.defaults);
            let named = |include: &&(String, String)| !include.0.is_empty();
            merged
                .includes
                .extend(file.includes.iter().filter(named).cloned());
            merged.variables.extend(file.variables.iter().cloned());
            for header in &file.headers {
                headers.insert((header.kind, &header.name), &header.text);
            }
            patch_repo = file.patch_repo.as_ref().or(patch_repo);
        }
        for (name, entry) in files.iter().flat_map(|file| &file.overrides) {
            if let Some(repo) = merged.repos.get_mut(name) {
                repo.over(entry);
            }
        }
        for repo in merged.repos.values_mut() {
            for patch in &mut repo.patches {
                if patch.repo.is_none() {
                    patch.repo = patch_repo.cloned();
                }
            }
            let open = repo.commit.is_none()
                && repo.tag.is_none()
                && repo.branch.is_none()
                && repo.refspec.is_none();
            if open && repo.url.is_some() {
                repo.branch.clone_from(&defaults.branch);
                repo.tag.clone_from(&defaults.tag);
                repo.refspec.clone_from(&defaults.refspec);
            }
        }
        merged.includes.sort();
        merged.includes.dedup();
        merged.variables.sort();
        merged.variables.dedup();
        merged.apt_is_pinned = apt::is_pinned(headers.into_values(), &merged.variables);
        merged
    }

    /// What of the repositories can change without a change here: name and what it follows.
    #[must_use]
    pub fn unpinned(&self) -> Vec<(String, String)> {
        let cloned = |entry: &RepoEntry| matches!(entry.place(), RepoPlace::Cloned(_));
        self.repos
            .iter()
            .filter(|(_, entry)| cloned(entry) && entry.pin().is_none())
            .map(|(name, entry)| (name.clone(), entry.described()))
            .collect()
    }

    /// What pins a repository, where something does.
    #[must_use]
    pub fn pin(&self, name: &str) -> Option<&str> {
        self.repos.get(name)?.pin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "b90b722fc2666b806a64f0bf5ca0feeb9b6f203b";

    fn cloned(edit: impl FnOnce(&mut RepoEntry)) -> RepoEntry {
        let mut entry = RepoEntry {
            url: Some("https://example.org/isar".into()),
            ..RepoEntry::default()
        };
        edit(&mut entry);
        entry
    }

    fn file(name: &str, entry: RepoEntry) -> KasFacts {
        KasFacts {
            repos: vec![(name.into(), entry)],
            ..KasFacts::default()
        }
    }

    #[test]
    fn a_commit_pins_and_nothing_else_does() {
        let unpinned = |entry: RepoEntry| Merged::of([&file("isar", entry)]).unpinned();
        assert!(unpinned(cloned(|entry| entry.commit = Some(COMMIT.into()))).is_empty());
        assert!(unpinned(cloned(|entry| entry.refspec = Some(COMMIT.into()))).is_empty());
        assert!(unpinned(RepoEntry::default()).is_empty(), "our own");
        let said = [
            cloned(|entry| entry.branch = Some("next".into())),
            cloned(|entry| entry.tag = Some("v1.0".into())),
            cloned(|entry| entry.refspec = Some("master".into())),
            cloned(|_| {}),
        ]
        .map(|entry| unpinned(entry)[0].1.clone());
        insta::assert_snapshot!(said.join("\n"), @"
        https://example.org/isar branch next
        https://example.org/isar tag v1.0
        https://example.org/isar refspec master
        https://example.org/isar default branch
        ");
    }

    #[test]
    fn later_files_and_then_lock_files_count() {
        let base = file("isar", cloned(|entry| entry.branch = Some("next".into())));
        let later = file(
            "isar",
            RepoEntry {
                branch: Some("other".into()),
                layers: Some(vec![("meta".into(), true), ("meta-x".into(), false)]),
                ..RepoEntry::default()
            },
        );
        let lock = KasFacts {
            overrides: vec![(
                "isar".into(),
                RepoEntry {
                    commit: Some(COMMIT.into()),
                    ..RepoEntry::default()
                },
            )],
            ..KasFacts::default()
        };
        let merged = Merged::of([&lock, &base, &later]);
        let isar = &merged.repos["isar"];
        assert_eq!(isar.branch.as_deref(), Some("other"));
        assert_eq!(isar.layers(), ["meta"]);
        assert_eq!(merged.pin("isar"), Some(COMMIT));
        let merged = Merged::of([&base, &later]);
        assert_eq!(merged.pin("isar"), None);
    }

    #[test]
    fn defaults_fill_what_is_open() {
        let defaults = KasFacts {
            defaults: RepoEntry {
                branch: Some("main".into()),
                ..RepoEntry::default()
            },
            ..KasFacts::default()
        };
        let open = file("isar", cloned(|_| {}));
        let merged = Merged::of([&defaults, &open]);
        assert_eq!(
            merged.unpinned()[0].1,
            "https://example.org/isar branch main"
        );
    }

    #[test]
    fn a_patch_is_merged_field_by_field_and_takes_the_repository_of_the_defaults() {
        let patched = |id: &str, repo: Option<&str>, path: &str| {
            let patch = PatchEntry {
                id: id.into(),
                repo: repo.map(Into::into),
                path: Some(path.into()),
            };
            let patches = vec![patch];
            file("isar", cloned(|entry| entry.patches = patches))
        };
        let defaults = KasFacts {
            patch_repo: Some("project".into()),
            ..KasFacts::default()
        };
        let merged = Merged::of([
            &defaults,
            &patched("one", Some("other"), "a.patch"),
            &patched("one", None, "b.patch"),
            &patched("two", None, "c.patch"),
        ]);
        let said: Vec<(Option<&str>, Option<&str>)> = merged.repos["isar"]
            .patches
            .iter()
            .map(|patch| (patch.repo.as_deref(), patch.path.as_deref()))
            .collect();
        let expected = [
            (Some("other"), Some("b.patch")),
            (Some("project"), Some("c.patch")),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn headers_are_replaced_by_name_and_read_in_the_order_of_their_names() {
        let header = |name: &str, text: &str| KasFacts {
            headers: vec![Header {
                kind: "local_conf_header",
                name: name.into(),
                text: text.into(),
            }],
            ..KasFacts::default()
        };
        let pinned = |files: &[&KasFacts]| Merged::of(files.iter().copied()).apt_is_pinned;
        let on = header(
            "b",
            "ISAR_USE_APT_SNAPSHOT = \"1\"\nISAR_APT_SNAPSHOT_DATE = \"20240702T082400Z\"\n",
        );
        let off = |name: &str| header(name, "ISAR_USE_APT_SNAPSHOT = \"0\"\n");
        assert!(pinned(&[&on]));
        assert!(pinned(&[&on, &off("a")]), "a is before b");
        assert!(!pinned(&[&off("c"), &on]), "c is after b");
        assert!(!pinned(&[&on, &header("b", "")]), "replaced");
        assert!(pinned(&[&off("b"), &on]), "replaced");
    }
}
