//! kas files: finds and reads those that chains name, and the files that they include, by kas' own
//! rules. What it found is plain data for [`crate::model::kas_tree`]. Knows nothing of variants.
//!
//! The rules are those of kas 5.5 (`kas/includehandler.py`, `kas-container`): the repository root is
//! that of the first file's repository, or its directory outside of one; a string in
//! `header.includes` is relative to that root, or to the including file where that does not exist; a
//! table `{ repo, file }` is relative to that repository, which is there to be looked at only when it
//! is our own.

mod content;
mod cycles;
mod facts;
mod paths;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::model::faults::{Fault, Faults, FileFaults};
use crate::model::kas_repos::KasFacts;
use crate::model::kas_tree::{Found, KasTree};

use content::{Include, Repo};
use paths::{near, normal};

pub use paths::{relative, repository_root};

/// The directories that a kas file uses as layers of its own repository, relative to that repository's
/// root; the root itself is empty.
#[must_use]
pub fn own_layers(source: &str) -> Vec<String> {
    content::own_layers(source)
}

/// What a kas file says of repositories, variables and the Debian archive.
#[must_use]
pub fn facts(source: &str) -> KasFacts {
    facts::facts(source)
}

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
        followed: BTreeMap::new(),
        sources: BTreeMap::new(),
        repos: BTreeMap::new(),
        elsewhere: Vec::new(),
    };
    for file in files {
        reader.top(file);
    }
    reader.run();
    for (from, to, span) in cycles::closing(&reader.followed) {
        reader.refuse_cycle(&from, &to, span);
    }
    reader.tree.sources = reader.sources;
    reader.tree
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
}

struct Reader {
    tree: KasTree,
    project_dir: PathBuf,
    prefix: PathBuf,
    root: PathBuf,
    queue: VecDeque<Pending>,
    seen: BTreeSet<PathBuf>,
    /// Every include that was followed: by the file that has it, the one included, where.
    followed: cycles::Followed,
    sources: BTreeMap<String, String>,
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
        self.lock_file(pending);
        match content::parse(&source) {
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
                        }),
                    }
                }
            }
        }
        self.note(name, &source, faults);
        let file_name = self.shown(name);
        add(&mut self.tree.warnings, file_name, &source, warnings);
        self.sources.insert(name.clone(), source);
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

    /// A lock file beside a kas file is read before what that file includes.
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
                            span.clone(),
                            format!("kas 5.3 and later refuse the include `{file}`"),
                            "leaves the repository, read from its root",
                        )
                        .hint(format!("write it from the repository's root: `{better}`")),
                    );
                }
                self.follow(&pending.name, beside, span);
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
            Ok(real) if real.is_file() => self.follow(from, real, span),
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

    fn follow(&mut self, from: &str, real: PathBuf, span: Range<usize>) {
        let name = relative(&real, &self.project_dir);
        let followed = self.followed.entry(from.to_owned()).or_default();
        followed.push((name, span));
        self.record(from, real);
    }

    fn refuse_cycle(&mut self, from: &str, to: &str, span: Range<usize>) {
        let fault = Fault::at(
            span,
            format!("the include of `{to}` leads back to this file"),
            "closes a circle",
        )
        .hint("remove it, or move what both files need into a third");
        let source = self.sources.get(from).cloned().unwrap_or_default();
        self.note(from, &source, [fault].into_iter().collect());
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
