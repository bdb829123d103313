//! Loading: finds and reads variants.toml and the kas files that it names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::arch::Arch;
use crate::base::fault::{Fault, Faults, FileFaults};
use crate::kas;
use crate::kas::tree::{KasTree, Overlay};
use crate::matrix::name_rules;
use crate::matrix::parse;
use crate::matrix::parse::ParseOptions;
use crate::matrix::{FILE_NAME, Matrix};
use crate::store::product::{BMAP, ProductInfo, ZST};

/// The inputs of a matrix besides its file.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The working directory, absolute: relative paths of the command line start here.
    pub cwd: PathBuf,
    /// The architecture of the build host. `None`: no variant is native.
    pub host: Option<Arch>,
    /// Overlays of the command line, relative to `cwd`.
    pub overlays: Vec<PathBuf>,
    /// The version of the release, if the command line sets it.
    pub release_version: Option<String>,
    /// The products that variants.toml may name.
    pub products: Vec<&'static ProductInfo>,
}

impl LoadOptions {
    /// Options with no host, no overlays, and the file's own version.
    #[must_use]
    pub fn new(cwd: &Path) -> LoadOptions {
        LoadOptions {
            cwd: cwd.to_owned(),
            host: None,
            overlays: Vec::new(),
            release_version: None,
            products: vec![&ZST, &BMAP],
        }
    }
}

/// A loaded matrix with its sources.
#[derive(Debug)]
pub struct Loaded {
    /// The matrix.
    pub matrix: Matrix,
    /// The file, absolute.
    pub path: PathBuf,
    /// The file as the user would write it.
    pub file_name: String,
    /// The directory of the file, absolute: its paths are relative to it.
    pub project_dir: PathBuf,
    /// The text of the file.
    pub source: String,
    /// The kas files of its chains, with their includes.
    pub kas: KasTree,
}

impl Loaded {
    /// The warnings, rendered: constructs that some versions of kas reject. Empty where there are none.
    #[must_use]
    pub fn render_warnings(&self, color: bool) -> String {
        let each = self.kas.warnings.iter().map(|file| {
            file.faults
                .render_warnings(&file.file_name, &file.source, color)
        });
        each.collect::<Vec<_>>().join("\n")
    }
}

/// Why a matrix cannot be loaded. Each is a fault of the configuration (exit code 3).
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No file was named, and none found.
    #[error("there is no {FILE_NAME} in {} or above it", cwd.display())]
    NotFound {
        /// The directory in which the search began.
        cwd: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {}", path.display(), why(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// These files have faults.
    #[error("{}", count(files))]
    Faulty {
        /// The files with their faults, variants.toml first.
        files: Vec<FileFaults>,
        /// The text of variants.toml, in which the settings may have faults, too.
        text: String,
    },
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

fn count(files: &[FileFaults]) -> String {
    let total: usize = files.iter().map(|file| file.faults.len()).sum();
    let names: Vec<&str> = files.iter().map(|file| file.file_name.as_str()).collect();
    let noun = if total == 1 { "fault" } else { "faults" };
    format!("{total} {noun} in {}", names.join(", "))
}

impl LoadError {
    /// The remedy, unless the message contains it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            LoadError::NotFound { .. } => Some(
                "name the file with `-f FILE`, or write one; `isar-build-all schema` prints its schema"
                    .to_owned(),
            ),
            LoadError::Unreadable { source, .. } => Some(match source.kind() {
                io::ErrorKind::NotFound => "check the path after `-f`".to_owned(),
                io::ErrorKind::InvalidData => "save it as UTF-8".to_owned(),
                _ => "check that it is a file and its permissions".to_owned(),
            }),
            LoadError::Faulty { .. } => None,
        }
    }

    /// The whole message: every fault with its source line, and hints.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        match self {
            LoadError::Faulty { files, .. } => {
                let each: Vec<String> = files.iter().map(|file| file.render(color)).collect();
                format!("{}\nerror: {self}\n", each.join("\n"))
            }
            _ => {
                let hint = self
                    .hint()
                    .map_or_else(String::new, |hint| format!("hint: {hint}\n"));
                format!("error: {self}\n{hint}")
            }
        }
    }
}

/// Finds the file: `named` (or [`FILE_NAME`] in it, if it is a directory), else [`FILE_NAME`] in `cwd` or a
/// directory above it, up to the root of the repository.
///
/// # Errors
/// [`LoadError::NotFound`] if `named` is `None` and there is no such file.
pub fn find(cwd: &Path, named: Option<&Path>) -> Result<PathBuf, LoadError> {
    if let Some(named) = named {
        let path = cwd.join(named);
        return Ok(if path.is_dir() {
            path.join(FILE_NAME)
        } else {
            path
        });
    }
    let root = kas::repository_root(cwd).unwrap_or(cwd);
    cwd.ancestors()
        .take_while(|dir| dir.starts_with(root))
        .map(|dir| dir.join(FILE_NAME))
        .find(|path| path.is_file())
        .ok_or_else(|| LoadError::NotFound {
            cwd: cwd.to_owned(),
        })
}

/// Reads and checks a matrix: the file, then every kas file that it names and what those include.
///
/// # Errors
/// [`LoadError::Unreadable`], or [`LoadError::Faulty`] with every fault of the file and its kas files.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Loaded, LoadError> {
    let path = options.cwd.join(path);
    let file_name = shown(&path, &options.cwd);
    let source = fs::read_to_string(&path).map_err(|source| LoadError::Unreadable {
        path: PathBuf::from(&file_name),
        source,
    })?;
    let project_dir = path.parent().unwrap_or(Path::new("/")).to_owned();
    let overlays = overlays(&project_dir, options);
    let reading = parse::parse(
        &source,
        &ParseOptions {
            host: options.host,
            overlays: overlays
                .iter()
                .map(|overlay| overlay.file.clone())
                .collect(),
            release_version: options.release_version.clone(),
            products: options.products.clone(),
        },
    );
    let prefix = Path::new(&file_name).parent().unwrap_or(Path::new(""));
    let chain = reading.kas.iter().map(|used| used.file.as_str());
    let mut kas = kas::read(
        &project_dir,
        prefix,
        chain.chain(overlays.iter().map(|overlay| overlay.file.as_str())),
    );
    let mut faults = reading.faults;
    faults.append(kas.chain_faults(&reading.kas));
    let mut overlay_faults = kas.overlay_faults(&overlays);
    overlay_faults.append(unfit(&overlays));
    let faulty = std::mem::take(&mut kas.faulty);
    match reading.matrix {
        Some(matrix) if faults.is_empty() && overlay_faults.is_empty() && faulty.is_empty() => {
            Ok(Loaded {
                matrix,
                path,
                file_name,
                project_dir,
                source,
                kas,
            })
        }
        _ => {
            let own = FileFaults {
                file_name,
                source: source.clone(),
                faults,
            };
            let given = FileFaults {
                file_name: "the command line".to_owned(),
                source: String::new(),
                faults: overlay_faults,
            };
            let files = [own, given].into_iter().chain(faulty);
            Err(LoadError::Faulty {
                files: files.filter(|file| !file.faults.is_empty()).collect(),
                text: source,
            })
        }
    }
}

/// The overlays of the command line, relative to the directory of variants.toml.
fn overlays(project_dir: &Path, options: &LoadOptions) -> Vec<Overlay> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let base = real(project_dir);
    let relative = |given: &PathBuf| {
        let path = options.cwd.join(given);
        // Only the directory is resolved, so that a link keeps its own name.
        let path = match (path.parent(), path.file_name()) {
            (Some(dir), Some(name)) => real(dir).join(name),
            _ => path,
        };
        Overlay {
            given: given.to_string_lossy().into_owned(),
            file: kas::relative(&path, &base),
        }
    };
    options.overlays.iter().map(relative).collect()
}

fn unfit(overlays: &[Overlay]) -> Faults {
    overlays
        .iter()
        .filter_map(|overlay| {
            let refusal = name_rules::kas_argument(&overlay.file).err()?;
            let fault = Fault::nowhere(format!("overlay `{}` {}", overlay.given, refusal.why));
            Some(fault.hint(refusal.hint))
        })
        .collect()
}

/// A path as the user would write it from the working directory.
fn shown(path: &Path, cwd: &Path) -> String {
    path.strip_prefix(cwd)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}
