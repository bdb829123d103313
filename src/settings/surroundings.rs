//! The surroundings of the process, as far as the environment shows them: CI service, terminals,
//! mirrors. Independent of settings, so a broken settings file does not matter.

use std::io::IsTerminal;
use std::path::PathBuf;

use crate::settings::environment::Environment;

/// The CI service that runs the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ci {
    /// GitHub Actions, or a compatible service (`GITHUB_ACTIONS`).
    Github,
    /// GitLab CI (`GITLAB_CI`).
    Gitlab,
    /// Another service (`CI`).
    Other,
    /// No CI.
    None,
}

impl Ci {
    /// Detects the service by the variables that it sets. `false` and `0` count as unset.
    #[must_use]
    pub fn detect(environment: &Environment) -> Self {
        let is_set = |name: &str| {
            environment
                .text(name)
                .is_some_and(|value| value != "false" && value != "0")
        };
        if is_set("GITHUB_ACTIONS") {
            Ci::Github
        } else if is_set("GITLAB_CI") {
            Ci::Gitlab
        } else if is_set("CI") {
            Ci::Other
        } else {
            Ci::None
        }
    }
}

/// Which standard streams are terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terminal {
    /// Standard output is a terminal.
    pub stdout: bool,
    /// Standard error is a terminal.
    pub stderr: bool,
    /// The width of the terminal of standard error, in columns.
    pub columns: Option<u16>,
}

impl Terminal {
    /// The streams of this process.
    #[must_use]
    pub fn capture() -> Self {
        let stderr = std::io::stderr();
        Self {
            stdout: std::io::stdout().is_terminal(),
            stderr: stderr.is_terminal(),
            columns: rustix::termios::tcgetwinsize(&stderr)
                .ok()
                .map(|size| size.ws_col)
                .filter(|columns| *columns > 0),
        }
    }
}

/// The surroundings of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The CI service.
    pub ci: Ci,
    /// The file that GitHub shows as the summary of the job (`GITHUB_STEP_SUMMARY`).
    pub step_summary: Option<PathBuf>,
    /// The terminals.
    pub terminal: Terminal,
    /// Whether the terminal supports colours: `TERM` is set and not `dumb`.
    pub terminal_knows_colors: bool,
    /// Whether `KAS_PREMIRRORS` is set: repositories may come from another place than the kas files
    /// name.
    pub premirrors: bool,
    /// The WSL distribution (`WSL_DISTRO_NAME`).
    pub wsl_distro: Option<String>,
}

impl Surroundings {
    /// The surroundings that a snapshot of the environment shows.
    #[must_use]
    pub fn of(environment: &Environment, terminal: Terminal) -> Self {
        Self {
            ci: Ci::detect(environment),
            step_summary: environment.get("GITHUB_STEP_SUMMARY").map(PathBuf::from),
            terminal,
            terminal_knows_colors: environment.text("TERM").is_some_and(|term| term != "dumb"),
            premirrors: environment.get("KAS_PREMIRRORS").is_some(),
            wsl_distro: environment.text("WSL_DISTRO_NAME").map(str::to_owned),
        }
    }

    /// The surroundings of this process.
    #[must_use]
    pub fn capture(environment: &Environment) -> Self {
        Self::of(environment, Terminal::capture())
    }
}
