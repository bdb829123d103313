//! The reasons why an installed engine is not used, each with its message and hint.

use std::path::PathBuf;

use crate::tools::engine::EngineKind;
use crate::tools::probe::ProbeError;

/// Why an installed engine is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineRefusal {
    /// `docker` is nerdctl, as Rancher Desktop and Colima install it in containerd mode.
    #[error("{} is nerdctl, which kas-container cannot use", .program.display())]
    DockerIsNerdctl {
        /// Its path.
        program: PathBuf,
    },
    /// `docker` is podman, as Debian's podman-docker installs it.
    #[error("{} is podman", .program.display())]
    DockerIsPodman {
        /// Its path.
        program: PathBuf,
    },
    /// `docker` is something else.
    #[error("{} is not Docker: it prints `{said}`", .program.display())]
    NotDocker {
        /// Its path.
        program: PathBuf,
        /// The first line of `docker -v`.
        said: String,
    },
    /// Docker is installed, and its daemon does not answer.
    #[error("the Docker daemon is not running: {why}")]
    DockerStopped {
        /// The client's message.
        why: String,
        /// Whether this is WSL, where Docker mostly is Docker Desktop.
        wsl: bool,
    },
    /// The daemon runs, and this user may not use it.
    #[error("this user may not use the Docker daemon: {why}")]
    DockerDenied {
        /// The client's message.
        why: String,
    },
    /// podman is a client of a virtual machine that does not run.
    #[error("the podman machine is not running: {why}")]
    PodmanMachineStopped {
        /// podman's message.
        why: String,
    },
    /// podman does not work rootless for this user.
    #[error("podman is installed and does not work: {why}")]
    PodmanBroken {
        /// podman's message.
        why: String,
    },
    /// podman does not work behind sudo.
    #[error("podman does not work as root: {why}")]
    PodmanBrokenAsRoot {
        /// podman's message.
        why: String,
    },
    /// podman is in the Nix store. sudo resets PATH and does not find it there.
    #[error("podman is in the Nix store ({}), where sudo does not find it", .program.display())]
    PodmanInNixStore {
        /// Its path in PATH.
        program: PathBuf,
    },
    /// podman is in another directory that sudo does not search.
    #[error("podman is {}, where sudo does not look", .program.display())]
    PodmanOutsideSudosPath {
        /// Its path in PATH.
        program: PathBuf,
    },
    /// A privileged podman container needs root, and there is no sudo.
    #[error("a privileged container needs root, and neither sudo nor run0 is in PATH")]
    NoSudo,
    /// sudo asks for a password, or refuses.
    #[error(
        "a privileged container needs root, and `{word}` asks for a password or refuses: {why}"
    )]
    SudoAsks {
        /// sudo or run0.
        word: &'static str,
        /// Its message.
        why: String,
    },
    /// sudo does not preserve the environment.
    #[error("sudo does not preserve the environment, and kas-container needs that")]
    SudoDropsEnvironment,
    /// `KAS_SUDO_CMD` is neither sudo nor run0.
    #[error("KAS_SUDO_CMD is `{word}`; kas-container supports `sudo` and `run0`")]
    SudoUnsupported {
        /// Its value.
        word: String,
    },
    /// The engine did not answer.
    #[error("{error}")]
    NoAnswer {
        /// Docker or podman.
        kind: EngineKind,
        /// The reason.
        error: ProbeError,
    },
}

impl From<ProbeError> for EngineRefusal {
    /// Only podman is probed with `?`: Docker's probe names itself.
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

    /// A remedy, as a command where there is one.
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
            EngineRefusal::PodmanBroken { .. } => "run `podman info`",
            EngineRefusal::PodmanBrokenAsRoot { .. } => "run `sudo podman info`",
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
            EngineRefusal::NoAnswer { .. } => "run this command by hand: it must answer at once",
        }
        .to_owned()
    }
}
