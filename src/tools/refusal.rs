//! Why an engine that is there is not used: each reason with its message and its hint.
//!
//! Knows nothing of how the reasons are found.

use std::path::PathBuf;

use super::engine::EngineKind;
use super::probe::ProbeError;

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
