//! The files of a chain in the order in which kas merges them.
//!
//! A file's lock file comes first, then what the file includes, depth first, then the file itself; a file that
//! two others include is merged at both places. Includes from another repository are read once that
//! repository's entry is known, which the files read so far decide; so the whole is read again until no
//! further repository becomes known.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::kas::config::{
    CONTAINER_ROOT, ChainFault, ChainFile, KasConfig, KasPlaces, KasRepo, lock_path, merge, repo,
};
use crate::kas::yaml::{KasFileFormat, YamlNode, YamlValue};

/// Files that one chain may come to, repeated ones counted each time.
const MAX_FILES: usize = 10_000;

/// Where the text of kas files comes from.
pub trait KasSource {
    /// A file's parsed text; `None` where there is no such file.
    ///
    /// # Errors
    /// What keeps the file from being read or parsed.
    fn read(&mut self, path: &Path) -> Option<Result<Arc<YamlNode>, Fault>>;

    /// Whether a path exists.
    fn has_file(&self, path: &Path) -> bool;

    /// A path without links, `.` and `..`; what does not exist is kept as it is written.
    fn real(&self, path: &Path) -> PathBuf;

    /// Where the files of a repository can be read now; none while its clone is not there, or not at the
    /// revision that the chain asks for.
    fn checkout(&self, repo: &KasRepo) -> Option<PathBuf>;
}

/// Loads and merges a chain.
///
/// # Errors
/// The first fault that kas would meet in the files that can be read.
pub fn load(
    top_files: &[PathBuf],
    places: &KasPlaces,
    source: &mut dyn KasSource,
) -> Result<KasConfig, Box<ChainFault>> {
    let mut places = places.clone();
    let mut repo_paths: BTreeMap<String, PathBuf> = BTreeMap::new();
    loop {
        let mut walk = Walk {
            source,
            places: &mut places,
            repo_paths: &repo_paths,
            files: Vec::new(),
            named: Vec::new(),
            missing: Vec::new(),
            open: Vec::new(),
        };
        for (index, file) in top_files.iter().enumerate() {
            let home = Home {
                root: walk.places.root.clone(),
                repo: None,
            };
            walk.file(
                file,
                &home,
                Role {
                    is_main: index == 0,
                    is_lock: false,
                },
            )?;
        }
        let (files, named, missing) = (walk.files, walk.named, walk.missing);
        let merged = merged(&files);
        let mut is_new = false;
        for name in &missing {
            let declared = merged
                .get("repos")
                .is_some_and(|repos| repos.get(name).is_some());
            let path = declared
                .then(|| repo::resolve(&merged, name, &places).ok())
                .flatten()
                .and_then(|repo| source.checkout(&repo));
            if let Some(path) = path {
                repo_paths.insert(name.clone(), path);
                is_new = true;
            }
        }
        if !is_new {
            return Ok(KasConfig {
                files,
                named_includes: named,
                missing_repos: missing,
                merged,
                places,
            });
        }
    }
}

/// All files joined; the header's version is the highest of them.
fn merged(files: &[ChainFile]) -> Arc<YamlNode> {
    let empty = || {
        Arc::new(YamlNode {
            span: 0..0,
            value: YamlValue::Table(Vec::new()),
        })
    };
    let joined = files
        .iter()
        .map(|file| Arc::clone(&file.node))
        .reduce(|lower, upper| merge::merge(&lower, &upper))
        .unwrap_or_else(empty);
    let version = files.iter().map(|file| version(&file.node)).max();
    let mut joined = Arc::unwrap_or_clone(joined);
    if let YamlValue::Table(entries) = &mut joined.value
        && let Some(header) = entries.iter_mut().find(|entry| entry.key == "header")
    {
        let mut node = YamlNode::clone(&header.node);
        if let YamlValue::Table(entries) = &mut node.value
            && let Some(entry) = entries.iter_mut().find(|entry| entry.key == "version")
        {
            entry.node = Arc::new(YamlNode {
                span: entry.node.span.clone(),
                value: YamlValue::Int(version.unwrap_or(1)),
            });
        }
        header.node = Arc::new(node);
    }
    Arc::new(joined)
}

fn version(file: &YamlNode) -> i64 {
    match file.at(["header", "version"]).map(|node| &node.value) {
        Some(YamlValue::Int(version)) => *version,
        _ => 1,
    }
}

/// How a file came into the chain.
#[derive(Clone, Copy)]
struct Role {
    is_main: bool,
    is_lock: bool,
}

/// The repository that a file is in: its root, and its key unless it is the chain's own.
#[derive(Clone)]
struct Home {
    root: PathBuf,
    repo: Option<String>,
}

/// An include as a file states it.
struct IncludeSite<'a> {
    from: &'a Path,
    span: Range<usize>,
}

struct Walk<'w> {
    source: &'w mut dyn KasSource,
    places: &'w mut KasPlaces,
    repo_paths: &'w BTreeMap<String, PathBuf>,
    files: Vec<ChainFile>,
    named: Vec<(String, String)>,
    missing: Vec<String>,
    /// The files whose includes are being read, the innermost last.
    open: Vec<PathBuf>,
}

impl Walk<'_> {
    fn file(&mut self, path: &Path, home: &Home, role: Role) -> Result<(), Box<ChainFault>> {
        let refuse = |fault: Fault| ChainFault::new(path, fault);
        if self.files.len() >= MAX_FILES {
            let message = format!("the chain comes to more than {MAX_FILES} files");
            return Err(refuse(
                Fault::nowhere(message).hint("include each file once"),
            ));
        }
        let name = path.to_string_lossy();
        if KasFileFormat::of(&name).is_none() {
            let message = "kas reads files named `.yml`, `.yaml` and `.json`";
            return Err(refuse(Fault::nowhere(message)));
        }
        let node = match self.source.read(path) {
            Some(read) => read.map_err(refuse)?,
            None => return Err(refuse(Fault::nowhere("there is no such file"))),
        };
        if node
            .at(["header", "version"])
            .and_then(YamlNode::text)
            .is_some()
        {
            let span = node
                .at(["header", "version"])
                .map_or(0..0, |version| version.span.clone());
            let message = "kas no longer reads files of version 0.10";
            let fault = Fault::at(span, message, "not a whole number");
            return Err(refuse(fault.hint("write `version: 1`")));
        }
        let YamlValue::Table(_) = node.value else {
            let message = "a kas file is a mapping with `header`";
            return Err(refuse(Fault::at(
                node.span.clone(),
                message,
                "not a mapping",
            )));
        };
        let mut own = home.clone();
        if let Some(source_dir) = node.get("_source_dir") {
            if !role.is_main {
                let message = "`_source_dir` is for the first file of a chain";
                return Err(refuse(Fault::at(
                    source_dir.span.clone(),
                    message,
                    "refused by kas",
                )));
            }
            if let Some(dir) = source_dir.text().filter(|dir| !dir.is_empty()) {
                let span = source_dir.span.clone();
                own.root = self.source_root(dir, span).map_err(refuse)?;
            }
        }
        let real = self.source.real(path);
        self.open.push(real);
        if let Some(lock) = lock_path(path)
            && self.source.has_file(&lock)
        {
            // kas reads the lock file before it looks at `_source_dir`.
            let site = IncludeSite {
                from: path,
                span: 0..0,
            };
            self.enter(&site, &lock, home, true)?;
        }
        if own.root != home.root {
            self.places.root.clone_from(&own.root);
        }
        let includes = node.at(["header", "includes"]).cloned();
        for include in includes.iter().flat_map(|includes| includes.items()) {
            let site = IncludeSite {
                from: path,
                span: include.span.clone(),
            };
            if let Some(file) = include.text() {
                let target = self.include_here(&site, file, &own.root)?;
                self.enter(&site, &target, &own, false)?;
            } else if let Some(repo) = include.get("repo").and_then(|repo| repo.text()) {
                let Some(file) = include.get("file").and_then(|file| file.text()) else {
                    let message = "an include from a repository names its `file`";
                    return Err(refuse(Fault::at(site.span, message, "no `file`")));
                };
                self.include_named(&site, repo, file)?;
            }
        }
        self.open.pop();
        self.files.push(ChainFile {
            path: path.to_owned(),
            repo: own.repo,
            is_lock: role.is_lock,
            node,
        });
        Ok(())
    }

    /// The root that `_source_dir` sets, as a path of this host.
    fn source_root(&self, dir: &str, span: Range<usize>) -> Result<PathBuf, Fault> {
        let wrong = |message: String, label: &str| {
            Err(Fault::at(span.clone(), message, label)
                .hint("remove the key: `kas menu` writes it into its own .config.yaml"))
        };
        match self.places.in_container {
            true if Path::new(dir) == Path::new(CONTAINER_ROOT) => Ok(self.places.root.clone()),
            true => wrong(
                format!(
                    "`_source_dir` is not `{CONTAINER_ROOT}`, where kas-container mounts the repository"
                ),
                "not there in the container",
            ),
            false if self.source.has_file(Path::new(dir)) => Ok(PathBuf::from(dir)),
            false => wrong(
                "`_source_dir` names a directory that does not exist".to_owned(),
                "no such directory",
            ),
        }
    }

    /// Reads a file of a named repository, once that repository is there.
    fn include_named(
        &mut self,
        site: &IncludeSite<'_>,
        repo: &str,
        file: &str,
    ) -> Result<(), Box<ChainFault>> {
        let named = (repo.to_owned(), file.to_owned());
        if !self.named.contains(&named) {
            self.named.push(named);
        }
        match self.repo_paths.get(repo) {
            Some(dir) => {
                let home = Home {
                    repo: (*dir != self.places.root).then(|| repo.to_owned()),
                    root: dir.clone(),
                };
                let target = self.inside(site, &home.root, file)?;
                self.enter(site, &target, &home, false)
            }
            None => {
                if !self.missing.iter().any(|name| name == repo) {
                    self.missing.push(repo.to_owned());
                }
                Ok(())
            }
        }
    }

    /// Reads a file that another names, unless it is among those whose includes are being read.
    fn enter(
        &mut self,
        site: &IncludeSite<'_>,
        target: &Path,
        home: &Home,
        is_lock: bool,
    ) -> Result<(), Box<ChainFault>> {
        let real = self.source.real(target);
        let refuse = |fault: Fault| ChainFault::new(site.from, fault);
        if self.open.contains(&real) {
            let message = format!(
                "the include of `{}` leads back to this file",
                real.display()
            );
            let fault = Fault::at(site.span.clone(), message, "closes a circle");
            return Err(refuse(
                fault.hint("remove it, or move what both files need into a third"),
            ));
        }
        if !self.source.has_file(target) {
            let message = format!("the include `{}` does not exist", target.display());
            let fault = Fault::at(site.span.clone(), message, "no such file");
            return Err(refuse(fault));
        }
        let role = Role {
            is_main: false,
            is_lock,
        };
        self.file(target, home, role)
    }

    /// Where a file of the same repository is: from the root, else beside the including file.
    fn include_here(
        &mut self,
        site: &IncludeSite<'_>,
        file: &str,
        root: &Path,
    ) -> Result<PathBuf, Box<ChainFault>> {
        let target = self.inside(site, root, file)?;
        if self.source.has_file(&target) {
            return Ok(target);
        }
        let beside = site.from.parent().unwrap_or(root);
        let alternate = self.inside(site, beside, file)?;
        Ok(match self.source.has_file(&alternate) {
            true => alternate,
            false => target,
        })
    }

    /// A path below a directory, links resolved.
    fn inside(
        &mut self,
        site: &IncludeSite<'_>,
        base: &Path,
        file: &str,
    ) -> Result<PathBuf, Box<ChainFault>> {
        let target = self.source.real(&base.join(file));
        if target.starts_with(self.source.real(base)) {
            return Ok(target);
        }
        let message = format!("the include `{file}` is outside of the repository");
        let fault = Fault::at(site.span.clone(), message, "kas refuses it")
            .hint("write it from the repository's root, without `..`");
        Err(ChainFault::new(site.from, fault))
    }
}
