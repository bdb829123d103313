//! The parts of one kas file that decide which other files are read: includes and repositories, with their spans.

use std::ops::Range;

use crate::base::fault::Fault;
use crate::kas::config::layers_in_use;
use crate::kas::yaml::{self, KasFileFormat, YamlNode, YamlValue};

/// The includes and repositories of one kas file, and its faults.
#[derive(Default)]
pub(super) struct KasContent {
    pub(super) includes: Vec<Include>,
    pub(super) repos: Vec<(String, RepoKind)>,
    pub(super) faults: Vec<Fault>,
}

/// An entry of `header.includes`.
pub(super) enum Include {
    /// A path in the repository of the including file.
    Path { file: String, span: Range<usize> },
    /// A path in a named repository.
    Named {
        repo: String,
        file: String,
        span: Range<usize>,
    },
}

/// The kind of a repository, by its location.
pub(super) enum RepoKind {
    /// Neither `url` nor `path`: the repository of the kas file itself.
    Own,
    /// With a `url`, or at an absolute path.
    Other,
    /// At a path relative to KAS_WORK_DIR; the span is that of the path.
    InWorkDir(Range<usize>),
}

/// Reads the includes and repositories of a kas file of this name; everything else is left to kas.
///
/// # Errors
/// When kas cannot parse it, or it is not a mapping with a header. Lesser faults are in [`KasContent::faults`].
pub(super) fn parse(name: &str, source: &str) -> Result<KasContent, Fault> {
    let Some(format) = KasFileFormat::of(name) else {
        return Err(
            Fault::nowhere("kas reads files named `.yml`, `.yaml` and `.json`")
                .hint("rename the file"),
        );
    };
    let root = yaml::load(source, format)?;
    let no_mapping = |message: &str| {
        Fault::at(0..1, message, "here").hint("a kas file begins with `header:` and its `version`")
    };
    match &root.value {
        YamlValue::Null => return Err(no_mapping("the kas file is empty")),
        YamlValue::Table(_) => {}
        _ => return Err(no_mapping("the kas file is not a mapping")),
    }
    let Some(header) = root.get("header") else {
        return Err(no_mapping("the kas file has no `header`"));
    };
    let mut content = KasContent::default();
    if header.get("version").is_none() {
        let fault = Fault::at(
            header.span.clone(),
            "the header of the kas file has no `version`",
            "header",
        );
        content.faults.push(fault.hint("add `version: 14`"));
    }
    if let Some(includes) = header.get("includes") {
        match &includes.value {
            YamlValue::List(list) => {
                for include in list {
                    match read_include(include) {
                        Ok(include) => content.includes.push(include),
                        Err(fault) => content.faults.push(fault),
                    }
                }
            }
            _ => content.faults.push(
                Fault::at(
                    includes.span.clone(),
                    "`includes` is not a list",
                    "not a list",
                )
                .hint("write each file on a line of its own, after `- `"),
            ),
        }
    }
    for entry in entries(&root, "repos") {
        content
            .repos
            .push((entry.key.clone(), read_repo(&entry.node)));
    }
    Ok(content)
}

fn entries<'n>(root: &'n YamlNode, key: &str) -> &'n [yaml::YamlEntry] {
    root.get(key).map_or(&[], |table| table.entries())
}

fn read_include(include: &YamlNode) -> Result<Include, Fault> {
    if let Some(file) = include.text() {
        return Ok(Include::Path {
            file: file.to_owned(),
            span: include.span.clone(),
        });
    }
    let get = |key| {
        include
            .get(key)
            .and_then(|value| Some((value.text()?, value)))
    };
    match (get("repo"), get("file")) {
        (Some((repo, _)), Some((file, node))) => Ok(Include::Named {
            repo: repo.to_owned(),
            file: file.to_owned(),
            span: node.span.clone(),
        }),
        _ => Err(Fault::at(
            include.span.clone(),
            "an include is a file, or a table with `repo` and `file`",
            "neither",
        )
        .hint("write `- path/from/the/root.yml`")),
    }
}

fn read_repo(repo: &YamlNode) -> RepoKind {
    let get = |key| repo.get(key).filter(|value| !value.is_null());
    match (get("url"), get("path")) {
        (None, None) => RepoKind::Own,
        (None, Some(path)) if !path.text().is_some_and(|path| path.starts_with('/')) => {
            RepoKind::InWorkDir(path.span.clone())
        }
        _ => RepoKind::Other,
    }
}

/// See [`crate::kas::own_layers`]. Empty for a file that kas cannot parse.
pub(super) fn own_layers(source: &str) -> Vec<String> {
    let Ok(root) = yaml::load(source, KasFileFormat::Yaml) else {
        return Vec::new();
    };
    let own = entries(&root, "repos")
        .iter()
        .filter(|entry| matches!(read_repo(&entry.node), RepoKind::Own));
    own.flat_map(|entry| layers_in_use(&entry.node).unwrap_or_default())
        .map(|layer| layer.name)
        .collect()
}
