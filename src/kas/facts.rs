//! What the text of one kas file says of repositories, variables and the Debian archive. Knows nothing
//! of how files are put together: that is [`crate::model::kas_repos`]'s.

use saphyr::{LoadableYamlNode as _, MarkedYaml};

use crate::model::kas_repos::{Header, KasFacts, PatchEntry, RepoEntry};

/// Reads a kas file. One that cannot be read says nothing; that it cannot is told elsewhere.
pub(super) fn facts(source: &str) -> KasFacts {
    let documents = MarkedYaml::load_from_str(source).unwrap_or_default();
    let Some(root) = documents.first() else {
        return KasFacts::default();
    };
    let mut facts = KasFacts::default();
    for (name, entry) in mapping(get(root, "repos")) {
        facts.repos.push((name, repo(entry)));
    }
    if let Some(overrides) = get(root, "overrides") {
        for (name, entry) in mapping(get(overrides, "repos")) {
            facts.overrides.push((name, repo(entry)));
        }
    }
    if let Some(defaults) = get(root, "defaults").and_then(|defaults| get(defaults, "repos")) {
        facts.defaults = RepoEntry {
            layers: None,
            patches: Vec::new(),
            ..repo(defaults)
        };
        facts.patch_repo = get(defaults, "patches").and_then(|patches| text(patches, "repo"));
    }
    facts.variables = mapping(get(root, "env")).map(|(name, _)| name).collect();
    let includes = get(root, "header").and_then(|header| get(header, "includes"));
    for include in includes
        .and_then(|list| list.data.as_vec())
        .into_iter()
        .flatten()
    {
        if let Some(file) = include.data.as_str() {
            facts.includes.push((String::new(), file.to_owned()));
        } else if let (Some(repo), Some(file)) = (text(include, "repo"), text(include, "file")) {
            facts.includes.push((repo, file));
        }
    }
    for kind in ["bblayers_conf_header", "local_conf_header"] {
        for (name, value) in mapping(get(root, kind)) {
            facts.headers.push(Header {
                kind,
                name,
                text: value.data.as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    facts
}

fn get<'a, 'i>(node: &'a MarkedYaml<'i>, key: &str) -> Option<&'a MarkedYaml<'i>> {
    node.data
        .as_mapping_get(key)
        .filter(|value| !value.data.is_null())
}

/// A scalar as it is written, a number too: a commit may be all digits.
fn scalar(node: &MarkedYaml<'_>) -> Option<String> {
    let data = &node.data;
    data.as_str()
        .map(str::to_owned)
        .or_else(|| data.as_integer().map(|number| number.to_string()))
        .or_else(|| data.as_floating_point().map(|number| number.to_string()))
}

fn text(node: &MarkedYaml<'_>, key: &str) -> Option<String> {
    scalar(get(node, key)?)
}

fn mapping<'a, 'i: 'a>(
    node: Option<&'a MarkedYaml<'i>>,
) -> impl Iterator<Item = (String, &'a MarkedYaml<'i>)> {
    node.and_then(|node| node.data.as_mapping())
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((scalar(name)?, value)))
}

fn repo(entry: &MarkedYaml<'_>) -> RepoEntry {
    let layers = get(entry, "layers").map(|layers| {
        mapping(Some(layers))
            .map(|(name, state)| {
                let unused = matches!(state.data.as_str(), Some("disabled" | "excluded"));
                (name, !unused)
            })
            .collect()
    });
    let patches = mapping(get(entry, "patches"))
        .map(|(id, patch)| PatchEntry {
            id,
            repo: text(patch, "repo"),
            path: text(patch, "path"),
        })
        .collect();
    RepoEntry {
        url: text(entry, "url"),
        path: text(entry, "path"),
        branch: text(entry, "branch"),
        tag: text(entry, "tag"),
        commit: text(entry, "commit"),
        refspec: text(entry, "refspec"),
        layers,
        patches,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_read() {
        let facts = facts(
            "header:\n  version: 14\n  includes:\n    - a.yml\n    - repo: isar\n      file: kas/x.yml\n\
             defaults:\n  repos:\n    branch: main\n    patches:\n      repo: this\n\
             env:\n  A:\n  B: default\n\
             repos:\n  this:\n  isar:\n    url: https://x/isar\n    commit: 1234567890123456789012345678901234567890\n    \
             layers:\n      meta:\n      meta-isar: excluded\n    patches:\n      one:\n        repo: this\n        path: p.patch\n      two:\n        path: q.patch\n\
             overrides:\n  repos:\n    isar:\n      commit: abc\n\
             local_conf_header:\n  x: |\n    # C = \"1\"\n    ISAR_USE_APT_SNAPSHOT = \"1\"\n    D ?= '2'\n    E:append = \"3\"\n    F = \"${G}\"\n",
        );
        let includes = [("", "a.yml"), ("isar", "kas/x.yml")];
        assert_eq!(
            facts.includes,
            includes.map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert_eq!(facts.defaults.branch.as_deref(), Some("main"));
        assert_eq!(facts.variables, ["A", "B"]);
        let (name, isar) = &facts.repos[1];
        assert_eq!(name, "isar");
        assert_eq!(isar.layers(), ["meta"]);
        let patch = |id: &str, repo: Option<&str>, path: Option<&str>| PatchEntry {
            id: id.into(),
            repo: repo.map(Into::into),
            path: path.map(Into::into),
        };
        let patches = [
            patch("one", Some("this"), Some("p.patch")),
            patch("two", None, Some("q.patch")),
        ];
        assert_eq!(isar.patches, patches);
        assert_eq!(facts.patch_repo.as_deref(), Some("this"));
        assert!(facts.defaults.patches.is_empty());
        assert!(isar.commit.is_some());
        assert_eq!(facts.repos[0].1, RepoEntry::default());
        assert_eq!(facts.overrides[0].1.commit.as_deref(), Some("abc"));
        let header = &facts.headers[0];
        assert_eq!(
            (header.kind, header.name.as_str()),
            ("local_conf_header", "x")
        );
        assert!(header.text.contains("\nISAR_USE_APT_SNAPSHOT = \"1\"\n"));
    }

    #[test]
    fn what_is_no_kas_file_says_nothing() {
        for text in ["", "- a", ": :", "repos: 1", "{"] {
            assert_eq!(super::facts(text), KasFacts::default(), "{text}");
        }
    }
}
