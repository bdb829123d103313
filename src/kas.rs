//! kas files: finds and reads those that chains name, and the files that they include, by kas' own
//! rules. What it found is plain data for [`crate::model::kas_tree`]. Knows nothing of variants.
//!
//! The rules are those of kas 5.5 (`kas/includehandler.py`, `kas-container`): the repository root is
//! that of the first file's repository, or its directory outside of one; a string in
//! `header.includes` is relative to that root, or to the including file where that does not exist; a
//! table `{ repo, file }` is relative to that repository, which is there to be looked at only when it
//! is our own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use saphyr::{MarkedYaml, YamlLoader};

use crate::model::faults::{Fault, Faults, FileFaults};
use crate::model::kas_tree::{Found, KasTree};
use crate::model::suggest;

/// Reads the files of a chain, and what they include. `files` are relative to `project_dir`; names in
/// faults begin with `prefix`, the way from the user to that directory.
#[must_use]
pub fn read<'f>(
    project_dir: &Path,
    prefix: &Path,
    files: impl IntoIterator<Item = &'f str>,
) -> KasTree {
    let project_dir = fs::canonicalize(project_dir).unwrap_or_else(|_| project_dir.to_owned());
    let files: Vec<&str> = files.into_iter().collect();
    let first = files
        .iter()
        .find_map(|file| fs::canonicalize(project_dir.join(file)).ok());
    let first_dir = first
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(&project_dir);
    let root = repository_root(first_dir).unwrap_or(first_dir).to_owned();
    let mut reader = Reader {
        tree: KasTree {
            root: relative(&root, &project_dir),
            ..KasTree::default()
        },
        project_dir,
        prefix: prefix.to_owned(),
        root,
        queue: VecDeque::new(),
        seen: BTreeSet::new(),
        repos: BTreeMap::new(),
        elsewhere: Vec::new(),
    };
    for file in files {
        reader.top(file);
    }
    reader.run();
    reader.tree
}

/// The root of the repository that a directory is in, if it is in one.
#[must_use]
pub fn repository_root(dir: &Path) -> Option<&Path> {
    dir.ancestors()
        .find(|dir| dir.join(".git").exists() || dir.join(".hg").is_dir())
}

/// The way from `base` to `path`, both absolute and without `..`.
#[must_use]
pub fn relative(path: &Path, base: &Path) -> String {
    let path: Vec<Component<'_>> = path.components().collect();
    let base: Vec<Component<'_>> = base.components().collect();
    let common = path
        .iter()
        .zip(&base)
        .take_while(|(one, other)| one == other)
        .count();
    let mut out = PathBuf::new();
    for _ in common..base.len() {
        out.push("..");
    }
    for part in &path[common..] {
        out.push(part);
    }
    if out.as_os_str().is_empty() {
        out.push(".");
    }
    out.to_string_lossy().into_owned()
}

/// A file that is to be read: its name in the tree and where it is.
struct Pending {
    name: String,
    path: PathBuf,
}

/// An include from a repository that may become known later.
struct Elsewhere {
    from: String,
    repo: String,
    file: String,
    span: Range<usize>,
    source: String,
}

struct Reader {
    tree: KasTree,
    project_dir: PathBuf,
    prefix: PathBuf,
    root: PathBuf,
    queue: VecDeque<Pending>,
    seen: BTreeSet<PathBuf>,
    /// Repositories by name: whether each file that speaks of one makes it our own.
    repos: BTreeMap<String, bool>,
    elsewhere: Vec<Elsewhere>,
}

impl Reader {
    fn top(&mut self, file: &str) {
        let path = self.project_dir.join(file);
        let found = match fs::canonicalize(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Found::Missing(near(&path, file))
            }
            Err(error) => Found::Unreadable(error.to_string()),
            Ok(real) if !self.is_ours(&real) => {
                Found::Outside(self.root.to_string_lossy().into_owned())
            }
            Ok(real) if real.is_dir() => Found::Unreadable("it is a directory".to_owned()),
            Ok(real) => match fs::File::open(&real) {
                Err(error) => Found::Unreadable(error.to_string()),
                Ok(_) => {
                    self.enqueue(file.to_owned(), real);
                    Found::Readable
                }
            },
        };
        self.tree.found.insert(file.to_owned(), found);
    }

    /// Whether a file is in the repository, and not in another one within it.
    fn is_ours(&self, real: &Path) -> bool {
        let repository = real.parent().and_then(repository_root);
        real.starts_with(&self.root) && repository.is_none_or(|root| root == self.root)
    }

    fn enqueue(&mut self, name: String, path: PathBuf) {
        if self.seen.insert(path.clone()) {
            self.queue.push_back(Pending { name, path });
        }
    }

    fn run(&mut self) {
        loop {
            while let Some(pending) = self.queue.pop_front() {
                self.read(&pending);
            }
            // What is included from a repository waits until all files that could define it are read.
            let waiting = std::mem::take(&mut self.elsewhere);
            let (own, unknown): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|include| self.repos.get(&include.repo) == Some(&true));
            self.elsewhere = unknown;
            if own.is_empty() {
                break;
            }
            for include in own {
                let mut faults = Faults::new();
                let place = self.root.join(&include.file);
                self.include(
                    &include.from,
                    &place,
                    &include.file,
                    include.span,
                    &mut faults,
                );
                self.note(&include.from, &include.source, faults);
            }
        }
    }

    fn shown(&self, name: &str) -> String {
        self.prefix.join(name).to_string_lossy().into_owned()
    }

    fn note(&mut self, name: &str, source: &str, faults: Faults) {
        let file_name = self.shown(name);
        add(&mut self.tree.faulty, file_name, source, faults);
    }

    fn read(&mut self, pending: &Pending) {
        let name = &pending.name;
        let bytes = match fs::read(&pending.path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let fault = Fault::nowhere(format!("`{name}` cannot be read: {error}"));
                self.note(name, "", [fault].into_iter().collect());
                return;
            }
        };
        let source = match String::from_utf8(bytes) {
            Ok(source) => source,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let source = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let fault =
                    Fault::at(at..at + 1, "not UTF-8", "this byte").hint("save it as UTF-8");
                self.note(name, &source, [fault].into_iter().collect());
                return;
            }
        };
        let mut faults = Faults::new();
        let mut warnings = Faults::new();
        self.tree.includes.entry(name.clone()).or_default();
        match parse(&source) {
            Err(fault) => faults.push(fault),
            Ok(content) => {
                for fault in content.faults {
                    faults.push(fault);
                }
                for (repo, state) in content.repos {
                    self.repo(repo, state, &mut warnings);
                }
                for include in content.includes {
                    match include {
                        Include::Here { file, span } => {
                            self.include_here(pending, &file, span, &mut faults, &mut warnings);
                        }
                        Include::Elsewhere { repo, file, span } => self.elsewhere.push(Elsewhere {
                            from: name.clone(),
                            repo,
                            file,
                            span,
                            source: source.clone(),
                        }),
                    }
                }
            }
        }
        self.lock_file(pending);
        self.note(name, &source, faults);
        let file_name = self.shown(name);
        add(&mut self.tree.warnings, file_name, &source, warnings);
    }

    fn repo(&mut self, name: String, state: Repo, warnings: &mut Faults) {
        let own = match state {
            Repo::Own => true,
            Repo::Away => false,
            Repo::InWorkDir(span) => {
                warnings.push(
                    Fault::at(
                        span,
                        format!("repository `{name}` has a relative path, which kas takes from KAS_WORK_DIR"),
                        "not relative to this repository",
                    )
                    .hint("remove `path`: a repository without `url` and `path` is the one of this file"),
                );
                false
            }
        };
        let known = self.repos.entry(name).or_insert(own);
        *known &= own;
    }

    /// A lock file beside a kas file is read right before it.
    fn lock_file(&mut self, pending: &Pending) {
        let (Some(stem), Some(extension)) = (
            pending.path.file_stem().and_then(|stem| stem.to_str()),
            pending.path.extension().and_then(|ext| ext.to_str()),
        ) else {
            return;
        };
        let lock = pending
            .path
            .with_file_name(format!("{stem}.lock.{extension}"));
        if !stem.ends_with(".lock") && lock.is_file() {
            self.record(&pending.name, lock);
        }
    }

    fn include_here(
        &mut self,
        pending: &Pending,
        file: &str,
        span: Range<usize>,
        faults: &mut Faults,
        warnings: &mut Faults,
    ) {
        let from_root = self.root.join(file);
        let beside = pending
            .path
            .parent()
            .map(|dir| dir.join(file))
            .and_then(|path| fs::canonicalize(path).ok())
            .filter(|path| path.is_file() && path.starts_with(&self.root));
        let inside = normal(&from_root).starts_with(&self.root);
        match beside {
            Some(beside) if !from_root.is_file() => {
                if !inside {
                    let better = relative(&beside, &self.root);
                    warnings.push(
                        Fault::at(
                            span,
                            format!("kas 5.3 and later refuse the include `{file}`"),
                            "leaves the repository, read from its root",
                        )
                        .hint(format!("write it from the repository's root: `{better}`")),
                    );
                }
                self.record(&pending.name, beside);
            }
            _ => self.include(&pending.name, &from_root, file, span, faults),
        }
    }

    /// Follows an include to where it must be.
    fn include(
        &mut self,
        from: &str,
        place: &Path,
        file: &str,
        span: Range<usize>,
        faults: &mut Faults,
    ) {
        let outside = |span| {
            Fault::at(
                span,
                format!("the include `{file}` lies outside the repository"),
                "kas refuses it",
            )
            .hint("write it from the repository's root, without `..`")
        };
        if !normal(place).starts_with(&self.root) {
            faults.push(outside(span));
            return;
        }
        match fs::canonicalize(place) {
            Ok(real) if !real.starts_with(&self.root) => faults.push(outside(span)),
            Ok(real) if real.is_file() => self.record(from, real),
            Ok(_) => faults.push(Fault::at(
                span,
                format!("the include `{file}` is not a file"),
                "not a file",
            )),
            Err(_) => {
                let hint = match near(place, file) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "includes are relative to the repository's root".to_owned(),
                };
                faults.push(
                    Fault::at(
                        span,
                        format!("the include `{file}` does not exist"),
                        "no such file",
                    )
                    .hint(hint),
                );
            }
        }
    }

    fn record(&mut self, from: &str, real: PathBuf) {
        let name = relative(&real, &self.project_dir);
        self.tree
            .includes
            .entry(from.to_owned())
            .or_default()
            .push(name.clone());
        self.enqueue(name, real);
    }
}

fn add(files: &mut Vec<FileFaults>, file_name: String, source: &str, faults: Faults) {
    if faults.is_empty() {
        return;
    }
    if let Some(file) = files.iter_mut().find(|file| file.file_name == file_name) {
        file.faults.append(faults);
    } else {
        files.push(FileFaults {
            file_name,
            source: source.to_owned(),
            faults,
        });
    }
}

/// A path with `..` taken back, without asking the file system.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// A file in the directory of a missing one whose name is near, written as the missing one was.
fn near(path: &Path, written: &str) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let names: Vec<String> = fs::read_dir(path.parent()?)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    let near = suggest::nearest(wanted, names)?;
    Some(
        Path::new(written)
            .with_file_name(near)
            .to_string_lossy()
            .into_owned(),
    )
}

/// What matters here of a kas file.
#[derive(Default)]
struct Content {
    includes: Vec<Include>,
    repos: Vec<(String, Repo)>,
    faults: Vec<Fault>,
}

enum Include {
    Here {
        file: String,
        span: Range<usize>,
    },
    Elsewhere {
        repo: String,
        file: String,
        span: Range<usize>,
    },
}

enum Repo {
    /// Neither `url` nor `path`: the repository of the file.
    Own,
    /// With a `url`, or at an absolute path.
    Away,
    /// At a path relative to KAS_WORK_DIR.
    InWorkDir(Range<usize>),
}

fn parse(source: &str) -> Result<Content, Fault> {
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
