//! Reads the kas files of a chain and the files that they include.
//!
//! The rules are those of kas 5.5 (`kas/includehandler.py`, `kas-container`). The repository root is the root of the
//! first file's repository, or its directory when there is no repository. A string in `header.includes` is relative
//! to that root, or to the including file if it does not exist there. A table `{ repo, file }` is relative to the
//! named repository; it is followed only if that is the project's own repository, because another one may not be
//! cloned yet. A lock file beside a kas file is read with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::base::fault::{Fault, Faults, FileFaults};
use crate::kas::content;
use crate::kas::content::{Include, RepoKind};
use crate::kas::cycles;
use crate::kas::cycles::{IncludeEdge, IncludeGraph};
use crate::kas::paths::{near, normal, relative, repository_root};
use crate::kas::tree::{ChainFileState, KasTree};

/// Reads the files of a chain, and the files that they include. `files` are relative to `project_dir`; file names in
/// faults are prefixed with `prefix`, the path from the user's directory to `project_dir`.
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
    let mut reader = KasReader {
        tree: KasTree {
            root: relative(&root, &project_dir),
            ..KasTree::default()
        },
        project_dir,
        prefix: prefix.to_owned(),
        root,
        queue: VecDeque::new(),
        seen: BTreeSet::new(),
        graph: IncludeGraph::new(),
        sources: BTreeMap::new(),
        repos: BTreeMap::new(),
        deferred: Vec::new(),
    };
    for file in files {
        reader.chain_file(file);
    }
    reader.run();
    for closing in cycles::closing(&reader.graph) {
        reader.refuse_cycle(&closing.from, &closing.to, closing.span);
    }
    reader.tree.sources = reader.sources;
    reader.tree
}

/// A file that waits to be read.
struct PendingFile {
    /// Its name in the tree.
    name: String,
    path: PathBuf,
}

/// An include from a named repository, which a file that is not read yet may define.
struct DeferredInclude {
    from: String,
    repo: String,
    file: String,
    span: Range<usize>,
}

struct KasReader {
    tree: KasTree,
    project_dir: PathBuf,
    prefix: PathBuf,
    root: PathBuf,
    queue: VecDeque<PendingFile>,
    seen: BTreeSet<PathBuf>,
    graph: IncludeGraph,
    sources: BTreeMap<String, String>,
    /// Named repositories, and whether every file that names one makes it the project's own.
    repos: BTreeMap<String, bool>,
    deferred: Vec<DeferredInclude>,
}

impl KasReader {
    fn chain_file(&mut self, file: &str) {
        let path = self.project_dir.join(file);
        let found = match fs::canonicalize(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                ChainFileState::Missing(near(&path, file))
            }
            Err(error) => ChainFileState::Unreadable(error.to_string()),
            Ok(real) if !self.is_own(&real) => {
                ChainFileState::Outside(self.root.to_string_lossy().into_owned())
            }
            Ok(real) if real.is_dir() => ChainFileState::Unreadable("it is a directory".to_owned()),
            Ok(real) => match fs::File::open(&real) {
                Err(error) => ChainFileState::Unreadable(error.to_string()),
                Ok(_) => {
                    self.enqueue(file.to_owned(), real);
                    ChainFileState::Readable
                }
            },
        };
        self.tree.found.insert(file.to_owned(), found);
    }

    /// Whether a file is in the project's repository, and not in another one nested in it.
    fn is_own(&self, real: &Path) -> bool {
        let repository = real.parent().and_then(repository_root);
        real.starts_with(&self.root) && repository.is_none_or(|root| root == self.root)
    }

    fn enqueue(&mut self, name: String, path: PathBuf) {
        if self.seen.insert(path.clone()) {
            self.queue.push_back(PendingFile { name, path });
        }
    }

    fn run(&mut self) {
        loop {
            while let Some(pending) = self.queue.pop_front() {
                self.read(&pending);
            }
            // Includes from named repositories wait until every file that could define them is read.
            let waiting = std::mem::take(&mut self.deferred);
            let (own, unknown): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|include| self.repos.get(&include.repo) == Some(&true));
            self.deferred = unknown;
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
                let source = self.sources.get(&include.from).cloned();
                self.note(&include.from, &source.unwrap_or_default(), faults);
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

    fn read(&mut self, pending: &PendingFile) {
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
        self.lock_file(pending);
        match content::parse(&pending.path.to_string_lossy(), &source) {
            Err(fault) => faults.push(fault),
            Ok(content) => {
                for fault in content.faults {
                    faults.push(fault);
                }
                for (repo, kind) in content.repos {
                    self.repo(repo, kind, &mut warnings);
                }
                for include in content.includes {
                    match include {
                        Include::Path { file, span } => {
                            self.path_include(pending, &file, span, &mut faults, &mut warnings);
                        }
                        Include::Named { repo, file, span } => {
                            self.deferred.push(DeferredInclude {
                                from: name.clone(),
                                repo,
                                file,
                                span,
                            });
                        }
                    }
                }
            }
        }
        self.note(name, &source, faults);
        let file_name = self.shown(name);
        add(&mut self.tree.warnings, file_name, &source, warnings);
        self.sources.insert(name.clone(), source);
    }

    fn repo(&mut self, name: String, kind: RepoKind, warnings: &mut Faults) {
        let own = match kind {
            RepoKind::Own => true,
            RepoKind::Other => false,
            RepoKind::InWorkDir(span) => {
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

    /// Includes the lock file beside a kas file, before the file's own includes.
    fn lock_file(&mut self, pending: &PendingFile) {
        let (Some(stem), Some(extension)) = (
            pending.path.file_stem().and_then(|stem| stem.to_str()),
            pending.path.extension().and_then(|ext| ext.to_str()),
        ) else {
            return;
        };
        let lock = pending
            .path
            .with_file_name(format!("{stem}.lock.{extension}"));
        if lock.is_file() {
            self.follow(&pending.name, lock, None);
        }
    }

    fn path_include(
        &mut self,
        pending: &PendingFile,
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
                            span.clone(),
                            format!("kas 5.3 and later refuse the include `{file}`"),
                            "leaves the repository, read from its root",
                        )
                        .hint(format!("write it from the repository's root: `{better}`")),
                    );
                }
                self.follow(&pending.name, beside, Some(span));
            }
            _ => self.include(&pending.name, &from_root, file, span, faults),
        }
    }

    /// Follows an include to its only possible place.
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
                format!("the include `{file}` is outside the repository"),
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
            Ok(real) if real.is_file() => self.follow(from, real, Some(span)),
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

    /// Adds an include to the tree; a lock file is one without a span.
    fn follow(&mut self, from: &str, real: PathBuf, span: Option<Range<usize>>) {
        let name = relative(&real, &self.project_dir);
        let edges = self.graph.entry(from.to_owned()).or_default();
        edges.push(IncludeEdge {
            to: name.clone(),
            span,
        });
        let includes = self.tree.includes.entry(from.to_owned()).or_default();
        includes.push(name.clone());
        self.enqueue(name, real);
    }

    fn refuse_cycle(&mut self, from: &str, to: &str, span: Range<usize>) {
        let fault = Fault::at(
            span,
            format!("the include of `{to}` leads back to this file"),
            "closes a cycle",
        )
        .hint("remove it, or move what both files need into a third");
        let source = self.sources.get(from).cloned().unwrap_or_default();
        self.note(from, &source, [fault].into_iter().collect());
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
