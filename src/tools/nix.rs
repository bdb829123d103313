//! Probes Nix: its programs, and whether this user can add to its store.
//!
//! A missing Nix is not an error here: the local store can replace it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::settings::Environment;
use crate::tools::probe::Prober;
use crate::tools::version::Version;

/// A Nix store that this user can add to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nix {
    /// The absolute path of `nix-store`.
    pub program: PathBuf,
    /// The absolute path of `nix-instantiate`, the evaluator, if it is installed.
    pub instantiate: Option<PathBuf>,
    /// The version of `nix-store`.
    pub version: Version,
    /// The store's directory: `/nix/store`, or `NIX_STORE_DIR`.
    pub store_dir: PathBuf,
    /// Nix's own state: `/nix/var/nix`, or `NIX_STATE_DIR`.
    pub state_dir: PathBuf,
    /// Which process writes to the store.
    pub access: NixAccess,
}

/// Which process writes to a Nix store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NixAccess {
    /// `nix-store` itself: store and database belong to this user.
    SingleUser,
    /// The Nix daemon.
    Daemon,
}

/// Why a Nix store cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoNix {
    /// It is not installed.
    #[error("`nix-store` is not in PATH")]
    Absent,
    /// It is installed, and does not answer or is not writable.
    #[error("{} cannot be used: {why}", .program.display())]
    Unusable {
        /// The path of `nix-store`.
        program: PathBuf,
        /// The reason, in Nix's words if it gives one.
        why: String,
    },
    /// Its version is unknown.
    #[error("`{} --version` prints no version: `{said}`", .program.display())]
    NoVersion {
        /// The path of `nix-store`.
        program: PathBuf,
        /// Its output.
        said: String,
    },
}

impl NoNix {
    /// A remedy; none where Nix is not installed.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            NoNix::Absent => None,
            NoNix::Unusable { why, .. } if why.contains("cannot connect") => Some(
                "start the daemon: `sudo systemctl start nix-daemon.socket`".to_owned(),
            ),
            NoNix::NoVersion { .. } => Some("put Nix's own `nix-store` first in PATH".to_owned()),
            NoNix::Unusable { .. } => Some(
                "make the store yours (`sudo chown -R $USER /nix` for a single user), or run the Nix daemon"
                    .to_owned(),
            ),
        }
    }
}

impl Nix {
    /// Finds Nix, and checks that this user can add to its store. Starts programs, each with a time limit.
    ///
    /// # Errors
    /// See [`NoNix`].
    pub fn find(environment: &Environment) -> Result<Self, NoNix> {
        let prober = Prober::new(environment);
        let program = prober.find("nix-store").ok_or(NoNix::Absent)?;
        let unusable = |why: String| NoNix::Unusable {
            program: program.clone(),
            why,
        };
        let answer = prober
            .ask(&program, &["--version"])
            .map_err(|error| unusable(error.to_string()))?;
        let version = Version::find(answer.first_line()).ok_or(NoNix::NoVersion {
            program: program.clone(),
            said: answer.first_line().to_owned(),
        })?;
        let directory = |name: &str, usual: &str| {
            PathBuf::from(prober.environment.get(name).unwrap_or(usual.as_ref()))
        };
        let store_dir = directory("NIX_STORE_DIR", "/nix/store");
        let state_dir = directory("NIX_STATE_DIR", "/nix/var/nix");
        // Before the check for a database: Nix creates it on first use.
        query_store(prober, &program, &store_dir).map_err(unusable)?;
        let remote = prober
            .environment
            .text("NIX_REMOTE")
            .filter(|remote| !matches!(*remote, "auto" | "local"));
        let is_own = is_writable(&store_dir) && is_writable(&state_dir.join("db"));
        let access = if remote.is_none() && is_own {
            NixAccess::SingleUser
        } else {
            NixAccess::Daemon
        };
        // A read-only store answers queries too, so its answer does not prove that a daemon runs.
        let has_daemon = remote.is_some() || daemon_socket(prober, &state_dir).exists();
        if access == NixAccess::Daemon && !has_daemon {
            return Err(unusable(format!(
                "{} is not writable for this user, and there is no daemon",
                store_dir.display()
            )));
        }
        // An evaluator of another installation may use another store.
        let instantiate = prober
            .find("nix-instantiate")
            .filter(|instantiate| instantiate.parent() == program.parent());
        Ok(Self {
            program,
            instantiate,
            version,
            store_dir,
            state_dir,
            access,
        })
    }
}

/// Queries a path that cannot exist, which makes nix-store open the store or connect to the daemon.
fn query_store(prober: Prober<'_>, program: &Path, store_dir: &Path) -> Result<(), String> {
    let path = store_dir.join("00000000000000000000000000000000-isar-build-all-probe");
    let answer = prober
        .ask(program, &["--check-validity".as_ref(), path.as_os_str()])
        .map_err(|error| error.to_string())?;
    if answer.ok || answer.stderr.contains("is not valid") {
        return Ok(());
    }
    Err(answer.complaint())
}

fn daemon_socket(prober: Prober<'_>, state_dir: &Path) -> PathBuf {
    prober
        .environment
        .get("NIX_DAEMON_SOCKET_PATH")
        .map_or_else(|| state_dir.join("daemon-socket/socket"), PathBuf::from)
}

fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok()
}
