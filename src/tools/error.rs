//! What can be wrong with the host's tools, and what to do about it.
//!
//! Knows nothing of how messages are drawn. All of these are exit code 4.

use std::path::PathBuf;

use super::nix::NoNix;
use super::probe::ProbeError;
use super::refusal::EngineRefusal;
use super::version::Version;

/// A host on which nothing can be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// We are root.
    #[error("running as root: kas-container refuses it, and ISAR cannot install packages as root")]
    Root,
    /// A program that is needed is not there.
    #[error("`{}` was not found{}", .program.display(), where_looked(.program))]
    NotFound {
        /// The program as the setting names it.
        program: PathBuf,
        /// The setting.
        setting: &'static str,
    },
    /// A program gave no answer.
    #[error(transparent)]
    NoAnswer(#[from] ProbeError),
    /// A program that ended with a failure where it should only say its version.
    #[error("`{} --version` fails: {complaint}", .program.display())]
    Broken {
        /// Its path.
        program: PathBuf,
        /// Its last line.
        complaint: String,
    },
    /// A program whose version cannot be told.
    #[error("`{} --version` says no version: `{said}`", .program.display())]
    NoVersion {
        /// Its path.
        program: PathBuf,
        /// What it said.
        said: String,
    },
    /// kas-container is too old for the mode.
    #[error("kas-container {version} knows no rootless mode, which came with 5.4")]
    NoRootless {
        /// Its version.
        version: Version,
    },
    /// No engine is there.
    #[error("no container engine was found: neither docker nor podman is in PATH")]
    NoEngine,
    /// The engine that was asked for is not there.
    #[error("`{name}` was not found in PATH, and the settings ask for it")]
    EngineNotFound {
        /// docker or podman.
        name: &'static str,
    },
    /// No engine that is there can be used.
    #[error("{}", refused(.0))]
    EngineRefused(Vec<EngineRefusal>),
    /// Nix is asked for and cannot be used.
    #[error("the settings ask for the Nix store, and {0}")]
    NoNix(NoNix),
}

/// The exit code of every [`ToolError`].
pub const EXIT_CODE: u8 = 4;

impl ToolError {
    /// What to do, a command where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ToolError::Root => Some(
                "run it as a normal user who may use sudo; `scripts/setup` makes the user `isar`"
                    .to_owned(),
            ),
            ToolError::NotFound { program, setting } => Some(if has_directory(program) {
                format!("correct the setting `{setting}`, or unset it: then it is looked up in PATH")
            } else {
                format!("`pipx install kas` brings it; or give its path in the setting `{setting}`")
            }),
            ToolError::NoAnswer(_) => {
                Some("run that command by hand: it must answer at once".to_owned())
            }
            ToolError::Broken { .. } | ToolError::NoVersion { .. } => {
                Some("run that command by hand: it must end with its version".to_owned())
            }
            ToolError::NoRootless { .. } => Some(
                "`pipx upgrade kas`; or set `isar-mode = \"privileged\"`".to_owned(),
            ),
            ToolError::NoEngine => Some(
                "`sudo apt install podman catatonit uidmap`; or Docker: https://docs.docker.com/engine/install/"
                    .to_owned(),
            ),
            ToolError::EngineNotFound { name: "docker" } => Some(
                "https://docs.docker.com/engine/install/; or set `engine = \"auto\"`".to_owned(),
            ),
            ToolError::EngineNotFound { name } => Some(format!(
                "`sudo apt install {name}`; or set `engine = \"auto\"`"
            )),
            ToolError::EngineRefused(refusals) => Some(
                refusals
                    .iter()
                    .map(|refusal| match refusals.len() {
                        1 => refusal.hint(),
                        _ => format!("{}: {}", refusal.kind(), refusal.hint()),
                    })
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
            ToolError::NoNix(why) => Some(format!(
                "{}; or set `store = \"local\"`",
                why.hint().unwrap_or_else(|| {
                    "`sudo apt install nix-bin`, or https://nixos.org/download".to_owned()
                })
            )),
        }
    }

    /// The exit code of the program: 4, the environment.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        EXIT_CODE
    }
}

fn has_directory(program: &std::path::Path) -> bool {
    program.components().count() > 1
}

fn where_looked(program: &std::path::Path) -> &'static str {
    if has_directory(program) {
        ", or is no executable file"
    } else {
        " in PATH"
    }
}

fn refused(refusals: &[EngineRefusal]) -> String {
    match refusals {
        [only] => format!("{} cannot be used: {only}", only.kind()),
        _ => {
            let lines = refusals
                .iter()
                .map(|refusal| format!("\n  {}: {refusal}", refusal.kind()));
            format!(
                "no container engine can be used:{}",
                lines.collect::<String>()
            )
        }
    }
}
