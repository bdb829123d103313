//! Why something is not in a store, and what to do about it.

use std::path::PathBuf;

use thiserror::Error;

use crate::fs::PathError;
use crate::store::copy::CopyError;
use crate::store::path::NameError;

/// Why a store did not take a file or does not have it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The name cannot be one in a store.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The store directory or a link is not text, which Nix's programs need.
    #[error("{} is not valid UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// The file to be added has another base name than the store path is to have.
    #[error("{} would be added under its own name, not as {name}", path.display())]
    BaseName {
        /// The file.
        path: PathBuf,
        /// The unique name.
        name: String,
    },
    /// A Nix program could not be started.
    #[error("cannot start {}: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A Nix program failed.
    #[error("`{command}` failed ({status}){}", said(stderr))]
    Command {
        /// Program and arguments.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// Its standard error.
        stderr: String,
    },
    /// A Nix program printed something else than it is documented to.
    #[error("`{command}` printed `{printed}`, which is not {expected}")]
    Printed {
        /// Program and arguments.
        command: String,
        /// Its output.
        printed: String,
        /// The documented output.
        expected: &'static str,
    },
    /// The store gave another path than our hash says: the bytes are not those that we hashed.
    #[error("the store has {name} as {printed}, but its hash says {computed}")]
    PathMismatch {
        /// The unique name.
        name: String,
        /// The path that Nix printed.
        printed: PathBuf,
        /// The path that we computed.
        computed: PathBuf,
    },
    /// The store's database has another hash for the path.
    #[error("the store has another hash for {} than the file: {recorded}, not {ours}", path.display())]
    RecordedHash {
        /// The store path.
        path: PathBuf,
        /// The database's, in Nix base32, of the archive.
        recorded: String,
        /// Ours.
        ours: String,
    },
    /// A path is valid, but what lies there cannot be what was registered.
    #[error("{} is valid in the store, but what lies there is {what}", path.display())]
    Damaged {
        /// The store path.
        path: PathBuf,
        /// The content, as the end of a sentence.
        what: String,
        /// How it is taken away, as a command.
        remove: String,
    },
    /// Something that is not ours to replace lies where the output is to be.
    #[error("{} is a directory; the output is to be there", .0.display())]
    InTheWay(PathBuf),
    /// A file changed between its capture and now.
    #[error("{} is not what was captured any more", .0.display())]
    CaptureChanged(PathBuf),
    /// A file cannot be put there directly.
    #[error("the store cannot be written directly: {0}")]
    NotDirect(String),
    /// The store does not read files in the deploy directory.
    #[error("internal fault: this store takes no files in place: {}", .0.display())]
    NotInPlace(PathBuf),
    /// A journal names a store that this program cannot open.
    #[error("the journal names a store of the kind `{0}`, which cannot be opened")]
    Place(String),
    /// The store's database did not take a row.
    #[error("{}: {source}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's answer.
        source: rusqlite::Error,
    },
    /// Copying into the store failed.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The system's answer.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl StoreError {
    /// A remedy, as a command where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            StoreError::Start { .. } => {
                Some("install Nix (apt install nix-bin), or use --store local".to_owned())
            }
            StoreError::Command { stderr, .. } => command_hint(stderr),
            StoreError::RecordedHash { path, .. } => Some(format!(
                "take it away and run again: {}",
                crate::store::nix::delete_command(path)
            )),
            StoreError::Damaged { remove, .. } => {
                Some(format!("take it away and run again: {remove}"))
            }
            StoreError::PathMismatch { .. } | StoreError::CaptureChanged(_) => {
                Some("something wrote to the captured file; end what does and run again".to_owned())
            }
            StoreError::InTheWay(path) => {
                Some(format!("move it away: mv {0} {0}.old", path.display()))
            }
            StoreError::NotDirect(_) | StoreError::Database { .. } => Some(
                "leave it to Nix: store-write = \"auto\" (isar-build-all config shows what sets it)"
                    .to_owned(),
            ),
            StoreError::Copy(error) => error.hint(),
            StoreError::Path(error) => error.hint(),
            StoreError::Name(_)
            | StoreError::NotUtf8(_)
            | StoreError::BaseName { .. }
            | StoreError::NotInPlace(_)
            | StoreError::Place(_)
            | StoreError::Printed { .. } => None,
        }
    }
}

fn command_hint(stderr: &str) -> Option<String> {
    let has = |text: &str| stderr.contains(text);
    if has("No space left on device") || has("disk is full") {
        Some("make room in the store: nix-collect-garbage, df -h /nix/store".to_owned())
    } else if has("cannot connect to socket") || has("cannot connect to daemon") {
        Some("start the daemon (systemctl start nix-daemon), or use --store local".to_owned())
    } else if has("Permission denied") || has("Read-only file system") {
        Some("run as the owner of the store, start nix-daemon, or use --store local".to_owned())
    } else {
        None
    }
}

/// The errors that a program printed, as the end of a message.
fn said(stderr: &str) -> String {
    // Nix repeats warnings about its own configuration with every command; errors say what failed.
    let lines: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("warning:"))
        .collect();
    if lines.is_empty() {
        String::new()
    } else {
        format!(": {}", lines.join(" / "))
    }
}
