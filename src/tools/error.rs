//! Errors of the host's tools, with hints. All of them have exit code 4.

use std::path::PathBuf;

use crate::host::identity::RunsAsRoot;
use crate::tools::probe::ProbeError;
use crate::tools::refusal::EngineRefusal;
use crate::tools::version::Version;

/// Why nothing can be built on this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The user is root.
    #[error(transparent)]
    Root(#[from] RunsAsRoot),
    /// A program is missing.
    #[error("`{}` was not found{}", .program.display(), where_looked(.program))]
    NotFound {
        /// The program as the setting names it.
        program: PathBuf,
        /// The setting.
        setting: &'static str,
    },
    /// A program did not answer.
    #[error(transparent)]
    NoAnswer(#[from] ProbeError),
    /// A program failed to print its version.
    #[error("`{} --version` fails: {complaint}", .program.display())]
    Broken {
        /// Its path.
        program: PathBuf,
        /// The last line of its output.
        complaint: String,
    },
    /// A program's version is unknown.
    #[error("`{} --version` prints no version: `{said}`", .program.display())]
    NoVersion {
        /// Its path.
        program: PathBuf,
        /// Its output.
        said: String,
    },
    /// kas-container is too old for the mode.
    #[error("kas-container {version} has no rootless mode; version 5.4 added it")]
    NoRootless {
        /// Its version.
        version: Version,
    },
    /// No engine is installed.
    #[error("no container engine was found: neither docker nor podman is in PATH")]
    NoEngine,
    /// The engine that the settings name is not installed.
    #[error("`{name}` was not found in PATH, and the settings ask for it")]
    EngineNotFound {
        /// docker or podman.
        name: &'static str,
    },
    /// No installed engine can be used.
    #[error("{}", refused(.0))]
    EngineRefused(Vec<EngineRefusal>),
}

/// The exit code of every [`ToolError`].
pub const EXIT_CODE: u8 = 4;

impl ToolError {
    /// A remedy, as a command where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ToolError::Root(error) => error.hint(),
            ToolError::NotFound { program, setting } => Some(if has_directory(program) {
                format!("correct the setting `{setting}`, or unset it: then it is looked up in PATH")
            } else {
                format!("`pipx install kas` installs it; or set its path in `{setting}`")
            }),
            ToolError::NoAnswer(_) => {
                Some("run this command by hand: it must answer at once".to_owned())
            }
            ToolError::Broken { .. } | ToolError::NoVersion { .. } => {
                Some("run this command by hand: it must print its version".to_owned())
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
        ", or is not an executable file"
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
