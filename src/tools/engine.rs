//! Which container engine is used, and why the others are not.
//!
//! kas-container decides between docker and podman by which is there; this asks each whether it works,
//! and the answer is passed on (`KAS_CONTAINER_ENGINE`), so that both agree. Knows nothing of images.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::ToolError;
use super::host::Host;
use super::probe::{ProbeError, Prober};
use super::sudo::Elevation;
use super::version::Version;
use super::{Note, docker, podman};
use crate::settings::{EngineChoice, IsarMode, Settings};

/// Docker or podman.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl EngineKind {
    /// The program's name, which is also the word of `KAS_CONTAINER_ENGINE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            EngineKind::Docker => "docker",
            EngineKind::Podman => "podman",
        }
    }
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A container engine that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Which.
    pub kind: EngineKind,
    /// The absolute path of the program in PATH. Behind sudo, sudo may find another.
    pub program: PathBuf,
    /// The program's version.
    pub version: Version,
    /// The words with which the containers of this mode are controlled: the program alone, or with
    /// sudo before it. A subcommand follows: `stop`, `ps`, `rm`.
    pub prefix: Vec<String>,
    /// Variables with which kas-container, and the words of `prefix`, are to be run.
    pub environment: Vec<(String, String)>,
    /// Engines that come first and cannot be used. Worth a line, because one might have meant them.
    pub passed_over: Vec<EngineRefusal>,
    /// What will go wrong later, or differently than one might think.
    pub notes: Vec<Note>,
}

/// Why an engine that is there is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineRefusal {
    /// `docker` is nerdctl, as Rancher Desktop and Colima install it in containerd mode.
    #[error("{} is nerdctl in disguise, which kas-container cannot use", .program.display())]
    DockerIsNerdctl {
        /// Its path.
        program: PathBuf,
    },
    /// `docker` is podman, as Debian's podman-docker installs it.
    #[error("{} is podman in disguise", .program.display())]
    DockerIsPodman {
        /// Its path.
        program: PathBuf,
    },
    /// `docker` is something else.
    #[error("{} does not say that it is Docker: `{said}`", .program.display())]
    NotDocker {
        /// Its path.
        program: PathBuf,
        /// The first line of `docker -v`.
        said: String,
    },
    /// The client is there, and the daemon does not answer it.
    #[error("the Docker daemon is not running: {why}")]
    DockerStopped {
        /// The client's words.
        why: String,
        /// Whether we run in WSL, where Docker is mostly Docker Desktop's.
        wsl: bool,
    },
    /// The daemon runs, and this user may not talk to it.
    #[error("this user may not use the Docker daemon: {why}")]
    DockerDenied {
        /// The client's words.
        why: String,
    },
    /// podman is a client of a virtual machine that does not run.
    #[error("the podman machine is not running: {why}")]
    PodmanMachineStopped {
        /// podman's words.
        why: String,
    },
    /// podman does not work for this user, who would need to run it rootless.
    #[error("podman is installed and does not work: {why}")]
    PodmanBroken {
        /// podman's words.
        why: String,
    },
    /// podman works for the user, if at all, and not behind sudo.
    #[error("podman does not work as root: {why}")]
    PodmanBrokenAsRoot {
        /// podman's words.
        why: String,
    },
    /// podman is in the Nix store, where sudo, which resets PATH, does not find it.
    #[error("podman is in the Nix store ({}), where sudo does not find it", .program.display())]
    PodmanInNixStore {
        /// Its path in PATH.
        program: PathBuf,
    },
    /// podman is somewhere else where sudo does not look.
    #[error("podman is {}, where sudo does not look", .program.display())]
    PodmanOutsideSudosPath {
        /// Its path in PATH.
        program: PathBuf,
    },
    /// A privileged podman container needs root.
    #[error("a privileged container needs root, and neither sudo nor run0 is in PATH")]
    NoSudo,
    /// sudo wants a password, or refuses.
    #[error(
        "a privileged container needs root, and `{word}` does not give it without asking: {why}"
    )]
    SudoAsks {
        /// sudo or run0.
        word: &'static str,
        /// Its words.
        why: String,
    },
    /// sudo does not let the environment through.
    #[error("sudo does not preserve the environment, which kas-container asks it for")]
    SudoDropsEnvironment,
    /// `KAS_SUDO_CMD` is neither sudo nor run0.
    #[error("KAS_SUDO_CMD is `{word}`; kas-container knows `sudo` and `run0`")]
    SudoUnsupported {
        /// What it is.
        word: String,
    },
    /// It gave no answer at all.
    #[error("{error}")]
    NoAnswer {
        /// Which engine.
        kind: EngineKind,
        /// What happened.
        error: ProbeError,
    },
}

impl From<ProbeError> for EngineRefusal {
    /// Of the two, it is podman that is asked through sudo.
    fn from(error: ProbeError) -> Self {
        EngineRefusal::NoAnswer {
            kind: EngineKind::Podman,
            error,
        }
    }
}

impl EngineRefusal {
    /// The engine that is refused.
    #[must_use]
    pub fn kind(&self) -> EngineKind {
        match self {
            EngineRefusal::DockerIsNerdctl { .. }
            | EngineRefusal::DockerIsPodman { .. }
            | EngineRefusal::NotDocker { .. }
            | EngineRefusal::DockerStopped { .. }
            | EngineRefusal::DockerDenied { .. } => EngineKind::Docker,
            EngineRefusal::NoAnswer { kind, .. } => *kind,
            _ => EngineKind::Podman,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            EngineRefusal::DockerIsNerdctl { .. } => {
                "switch Rancher Desktop or Colima from containerd to dockerd (moby); or `sudo apt install podman`, and set `engine = \"podman\"`"
            }
            EngineRefusal::DockerIsPodman { .. } => "set `engine = \"podman\"`",
            EngineRefusal::NotDocker { .. } => {
                "put Docker's own `docker` first in PATH; or set `engine = \"podman\"`"
            }
            EngineRefusal::DockerStopped { wsl: true, .. } => {
                "start Docker Desktop and switch on its integration with this WSL distribution; or, with Docker installed here, `sudo service docker start`"
            }
            EngineRefusal::DockerStopped { wsl: false, .. } => "`sudo systemctl start docker`",
            EngineRefusal::DockerDenied { .. } => {
                "`sudo usermod -aG docker $USER`, then log in again"
            }
            EngineRefusal::PodmanMachineStopped { .. } => {
                "`podman machine start` (the first time `podman machine init` before it)"
            }
            EngineRefusal::PodmanBroken { why } if why.contains("newuidmap") => {
                "`sudo apt install uidmap`, and a range for this user in /etc/subuid and /etc/subgid"
            }
            EngineRefusal::PodmanBroken { .. } => "see what `podman info` says",
            EngineRefusal::PodmanBrokenAsRoot { .. } => "see what `sudo podman info` says",
            EngineRefusal::PodmanInNixStore { .. } => {
                "`sudo apt install podman`; or Docker; or, with kas 5.4 and later, `isar-mode = \"rootless\"`"
            }
            EngineRefusal::PodmanOutsideSudosPath { .. } => {
                "`sudo apt install podman`; or add its directory to `secure_path` with visudo"
            }
            EngineRefusal::NoSudo => {
                "`apt install sudo` as root; or Docker; or, with kas 5.4 and later, `isar-mode = \"rootless\"`"
            }
            EngineRefusal::SudoAsks { word: "sudo", .. } => {
                "`echo \"$USER ALL=(ALL) NOPASSWD: ALL\" | sudo tee /etc/sudoers.d/isar-build-all`; or, with kas 5.4 and later, `isar-mode = \"rootless\"`"
            }
            EngineRefusal::SudoAsks { .. } => {
                "allow it with a polkit rule; or `sudo apt install sudo` and set KAS_SUDO_CMD=sudo"
            }
            EngineRefusal::SudoDropsEnvironment => {
                "give the rule in /etc/sudoers the tag `SETENV:`"
            }
            EngineRefusal::SudoUnsupported { .. } => "`unset KAS_SUDO_CMD`",
            EngineRefusal::NoAnswer {
                kind: EngineKind::Docker,
                ..
            } => "`sudo systemctl restart docker`",
            EngineRefusal::NoAnswer { .. } => "run that command by hand: it must answer at once",
        }
        .to_owned()
    }
}

/// What is known of an engine that may be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Candidate {
    Absent,
    Refused(EngineRefusal),
    Usable(Box<Engine>),
}

/// What an engine is asked with.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) prober: Prober<'a>,
    pub(crate) host: &'a Host,
    pub(crate) mode: IsarMode,
}

impl Question<'_> {
    pub(crate) fn candidate(&self, kind: EngineKind) -> Candidate {
        let Some(program) = self.prober.find(kind.as_str()) else {
            return Candidate::Absent;
        };
        let engine = match kind {
            EngineKind::Docker => docker::probe(self, &program),
            EngineKind::Podman => podman::probe(self, &program),
        };
        match engine {
            Ok(engine) => Candidate::Usable(Box::new(engine)),
            Err(refusal) => Candidate::Refused(refusal),
        }
    }

    /// The engine, with its usual environment.
    pub(crate) fn engine(
        &self,
        kind: EngineKind,
        program: &Path,
        version: Version,
        elevation: Option<Elevation>,
    ) -> Engine {
        let mut environment = vec![("KAS_CONTAINER_ENGINE".to_owned(), kind.as_str().to_owned())];
        let prefix = match elevation {
            None => vec![program.display().to_string()],
            Some(Elevation { word, mut prefix }) => {
                environment.push(("KAS_SUDO_CMD".to_owned(), word.to_owned()));
                // By name, as kas-container does: the path of root's engine is sudo's to find.
                prefix.push(kind.as_str().to_owned());
                prefix
            }
        };
        Engine {
            kind,
            program: program.to_path_buf(),
            version,
            prefix,
            environment,
            passed_over: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Engine {
    /// The engine to use: the one that the settings ask for, else the first that works.
    pub(crate) fn probe(
        settings: &Settings,
        prober: Prober<'_>,
        host: &Host,
    ) -> Result<Self, ToolError> {
        let mode = settings.isar_mode.value;
        let question = Question { prober, host, mode };
        Self::choose(settings.engine.value, mode, |kind| question.candidate(kind))
    }

    pub(crate) fn choose(
        choice: EngineChoice,
        mode: IsarMode,
        candidate: impl Fn(EngineKind) -> Candidate,
    ) -> Result<Self, ToolError> {
        let asked_for = |kind: EngineKind| match candidate(kind) {
            Candidate::Absent => Err(ToolError::EngineNotFound {
                name: kind.as_str(),
            }),
            Candidate::Refused(refusal) => Err(ToolError::EngineRefused(vec![refusal])),
            Candidate::Usable(engine) => Ok(*engine),
        };
        let order = match (choice, mode) {
            (EngineChoice::Docker, _) => return asked_for(EngineKind::Docker),
            (EngineChoice::Podman, _) => return asked_for(EngineKind::Podman),
            // kas-container's own order.
            (EngineChoice::Auto, IsarMode::Privileged) => [EngineKind::Docker, EngineKind::Podman],
            (EngineChoice::Auto, IsarMode::Rootless) => [EngineKind::Podman, EngineKind::Docker],
        };
        let mut refusals = Vec::new();
        for kind in order {
            match candidate(kind) {
                Candidate::Absent => {}
                Candidate::Refused(refusal) => refusals.push(refusal),
                Candidate::Usable(mut engine) => {
                    engine.passed_over = refusals;
                    return Ok(*engine);
                }
            }
        }
        Err(if refusals.is_empty() {
            ToolError::NoEngine
        } else {
            ToolError::EngineRefused(refusals)
        })
    }
}
