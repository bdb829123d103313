//! The text of one kas file: what it includes, and which repositories it names. Knows nothing of where
//! they are.

use std::ops::Range;

use saphyr::{LoadableYamlNode as _, MarkedYaml, YamlLoader};

use crate::model::faults::Fault;

/// What matters here of a kas file.
#[derive(Default)]
pub(super) struct Content {
    pub(super) includes: Vec<Include>,
    pub(super) repos: Vec<(String, Repo)>,
    pub(super) faults: Vec<Fault>,
}

/// An entry of `header.includes`.
pub(super) enum Include {
    /// A file of the same repository.
    Here { file: String, span: Range<usize> },
    /// A file of a repository with a name.
    Elsewhere {
        repo: String,
        file: String,
        span: Range<usize>,
    },
}

/// Where a repository is.
pub(super) enum Repo {
    /// Neither `url` nor `path`: the repository of the file.
    Own,
    /// With a `url`, or at an absolute path.
    Away,
    /// At a path relative to KAS_WORK_DIR.
    InWorkDir(Range<usize>),
}

/// Parses a kas file; what it says beside includes and repositories is not looked at.
pub(super) fn parse(source: &str) -> Result<Content, Fault> {
    let places = Places { source };
    let mut loader = YamlLoader::<MarkedYaml<'_>>::default();
    // PyYAML, which kas reads with, takes the last of equal keys.
    loader.allow_duplicate_keys(true);
    let mut parser = saphyr_parser::Parser::new_from_str(source);
    let scanned = parser.load(&mut loader, true).err();
    if let Some(error) = scanned.as_ref().or(loader.error()) {
        let at = places.byte(error.marker().index());
        return Err(
            Fault::at(at..at + 1, format!("not YAML: {}", error.info()), "here")
                .hint("check indentation, quotes and brackets around here"),
        );
    }
    let documents = loader.into_documents();
    let no_mapping = |message: &str| {
        Fault::at(0..1, message, "here").hint("a kas file begins with `header:` and its `version`")
    };
    let [root] = documents.as_slice() else {
        return Err(no_mapping(if documents.is_empty() {
            "the kas file is empty"
        } else {
            "the kas file holds several documents"
        }));
    };
    if !root.data.is_mapping() {
        return Err(no_mapping("the kas file is not a mapping"));
    }
    let Some(header) = root.data.as_mapping_get("header") else {
        return Err(no_mapping("the kas file has no `header`"));
    };
    let mut content = Content::default();
    if header.data.as_mapping_get("version").is_none() {
        let span = places.span(header);
        let fault = Fault::at(
            span,
            "the header of the kas file has no `version`",
            "header",
        );
        content.faults.push(fault.hint("add `version: 14`"));
    }
    if let Some(includes) = header.data.as_mapping_get("includes") {
        match includes.data.as_vec() {
            None => content.faults.push(
                Fault::at(
                    places.span(includes),
                    "`includes` is not a list",
                    "not a list",
                )
                .hint("write each file on a line of its own, after `- `"),
            ),
            Some(list) => {
                for include in list {
                    match read_include(include, &places) {
                        Ok(include) => content.includes.push(include),
                        Err(fault) => content.faults.push(fault),
                    }
                }
            }
        }
    }
    let repos = root.data.as_mapping_get("repos");
    for (name, repo) in repos
        .and_then(|repos| repos.data.as_mapping())
        .into_iter()
        .flatten()
    {
        if let Some(name) = name.data.as_str() {
            content
                .repos
                .push((name.to_owned(), read_repo(repo, &places)));
        }
    }
    Ok(content)
}

fn read_include(include: &MarkedYaml<'_>, places: &Places<'_>) -> Result<Include, Fault> {
    if let Some(file) = include.data.as_str() {
        return Ok(Include::Here {
            file: file.to_owned(),
            span: places.span(include),
        });
    }
    let get = |key| include.data.as_mapping_get(key);
    let file = get("file").and_then(|file| Some((file.data.as_str()?, places.span(file))));
    match (get("repo").and_then(|repo| repo.data.as_str()), file) {
        (Some(repo), Some((file, span))) => Ok(Include::Elsewhere {
            repo: repo.to_owned(),
            file: file.to_owned(),
            span,
        }),
        _ => Err(Fault::at(
            places.span(include),
            "an include is a file, or a table with `repo` and `file`",
            "neither",
        )
        .hint("write `- path/from/the/root.yml`")),
    }
}

fn read_repo(repo: &MarkedYaml<'_>, places: &Places<'_>) -> Repo {
    let get = |key| {
        repo.data
            .as_mapping_get(key)
            .filter(|value| !value.data.is_null())
    };
    match (get("url"), get("path")) {
        (None, None) => Repo::Own,
        (None, Some(path)) if !path.data.as_str().is_some_and(|path| path.starts_with('/')) => {
            Repo::InWorkDir(places.span(path))
        }
        _ => Repo::Away,
    }
}

/// The directories that a kas file uses as layers of its own repository, relative to that repository's
/// root; the root itself is empty. None of a file that cannot be read.
pub(super) fn own_layers(source: &str) -> Vec<String> {
    let documents = MarkedYaml::load_from_str(source).unwrap_or_default();
    let repos = documents
        .first()
        .and_then(|root| root.data.as_mapping_get("repos")?.data.as_mapping());
    let places = Places { source };
    let mut layers = Vec::new();
    for repo in repos.into_iter().flatten().map(|(_, repo)| repo) {
        if !matches!(read_repo(repo, &places), Repo::Own) {
            continue;
        }
        match repo.data.as_mapping_get("layers").map(|list| &list.data) {
            Some(list) if list.is_mapping() => {
                let names = list.as_mapping().into_iter().flatten();
                let used = names.filter(|(_, state)| {
                    !matches!(state.data.as_str(), Some("disabled" | "excluded"))
                });
                layers.extend(used.filter_map(|(name, _)| Some(name.data.as_str()?.to_owned())));
            }
            _ => layers.push(String::new()),
        }
    }
    layers
}

/// The YAML parser counts characters; faults count bytes.
struct Places<'s> {
    source: &'s str,
}

impl Places<'_> {
    fn byte(&self, character: usize) -> usize {
        self.source
            .char_indices()
            .nth(character)
            .map_or(self.source.len(), |(byte, _)| byte)
    }

    fn span(&self, node: &MarkedYaml<'_>) -> Range<usize> {
        self.byte(node.span.start.index())..self.byte(node.span.end.index())
    }
}
