//! What can be told of where we run without reading any file: CI service, terminals, mirrors.
//!
//! Knows nothing of settings; a broken settings file does not touch it.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::environment::Environment;

/// The CI service that runs us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ci {
    /// GitHub Actions, or a service that behaves like it (`GITHUB_ACTIONS`).
    Github,
    /// GitLab CI (`GITLAB_CI`).
    Gitlab,
    /// Another one (`CI`).
    Other,
    /// None: someone's own machine.
    None,
}

impl Ci {
    /// By the variables that the services set. `false` and `0` count as unset.
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

/// The terminals that we are connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terminal {
    /// Standard output is one.
    pub stdout: bool,
    /// Standard error is one.
    pub stderr: bool,
    /// The width of standard error's, in columns.
    pub columns: Option<u16>,
}

impl Terminal {
    /// Those of this process.
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

/// Where we run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The CI service.
    pub ci: Ci,
    /// The file that GitHub shows as the job's summary (`GITHUB_STEP_SUMMARY`).
    pub step_summary: Option<PathBuf>,
    /// The terminals.
    pub terminal: Terminal,
    /// Whether the terminal knows colours: `TERM` is set and not `dumb`.
    pub terminal_knows_colors: bool,
    /// `KAS_PREMIRRORS` is set, so repositories may come from elsewhere than the kas files say.
    pub premirrors: bool,
    /// `WSL_DISTRO_NAME`: the WSL distribution that we run in.
    pub wsl_distro: Option<String>,
}

impl Surroundings {
    /// Reads them off a snapshot.
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

    /// Those of this process.
    #[must_use]
    pub fn capture(environment: &Environment) -> Self {
        Self::of(environment, Terminal::capture())
    }
}
