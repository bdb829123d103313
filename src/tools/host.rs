//! The host: who we are, what machine it is, how much room there is.
//!
//! Knows nothing of tools.

use std::io;
use std::path::Path;

use super::error::ToolError;
use crate::model::arch::Arch;
use crate::settings::Environment;

/// What matters of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Our effective user id.
    pub uid: u32,
    /// The machine's architecture, where it is one that we know.
    pub arch: Option<Arch>,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The WSL distribution that we run in: its name, or empty where only the kernel tells.
    pub wsl: Option<String>,
    /// Whether it is NixOS, where programs from the Nix store are the system's own.
    pub nixos: bool,
}

impl Host {
    /// This host.
    #[must_use]
    pub fn capture(environment: &Environment) -> Self {
        let uname = rustix::system::uname();
        let kernel = uname.release().to_string_lossy().into_owned();
        let machine = uname.machine().to_string_lossy();
        Self {
            uid: rustix::process::geteuid().as_raw(),
            arch: machine.parse().ok(),
            wsl: wsl(
                &kernel,
                environment.text("WSL_DISTRO_NAME"),
                environment.text("WSL_INTEROP"),
            ),
            kernel,
            nixos: Path::new("/etc/NIXOS").exists(),
        }
    }

    /// Refuses to build as root: kas-container does not run as root, and told to, ISAR's
    /// do_rootfs_install fails (apt inside bubblewrap cannot set groups).
    ///
    /// # Errors
    /// [`ToolError::Root`].
    pub fn refuse_root(&self) -> Result<(), ToolError> {
        if self.uid == 0 {
            Err(ToolError::Root)
        } else {
            Ok(())
        }
    }
}

/// The kernel of WSL 1 says `Microsoft`, that of WSL 2 `microsoft`; a self-built one may say neither.
fn wsl(kernel: &str, distro: Option<&str>, interop: Option<&str>) -> Option<String> {
    let by_kernel = kernel.to_lowercase().contains("microsoft");
    match distro {
        Some(distro) => Some(distro.to_owned()),
        None => (by_kernel || interop.is_some()).then(String::new),
    }
}

/// Bytes that an unprivileged user may still write where `path` is or, where it does not exist yet, would be.
///
/// # Errors
/// What the system says of the nearest directory that exists.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let nearest = path
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(nearest)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A number that is equal for two paths on one file system. Of a path that does not exist, where it would be.
#[must_use]
pub fn file_system(path: &Path) -> Option<u64> {
    let nearest = path.ancestors().find(|ancestor| ancestor.exists())?;
    rustix::fs::stat(nearest).ok().map(|stat| stat.st_dev)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wsl_is_told_by_kernel_or_variable() {
        assert_eq!(wsl("6.1.0-18-amd64", None, None), None);
        assert_eq!(
            wsl("5.15.153.1-microsoft-standard-WSL2", None, None),
            Some(String::new())
        );
        assert_eq!(
            wsl("6.9.0-own", Some("Debian"), None),
            Some("Debian".to_owned())
        );
        assert_eq!(
            wsl("6.9.0-own", None, Some("/run/WSL/9_interop")),
            Some(String::new())
        );
    }

    #[test]
    fn room_is_told_of_paths_that_do_not_exist_yet() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("not/yet/here");
        assert!(free_space(&below).unwrap() > 0);
        assert_eq!(file_system(&below), file_system(dir.path()));
    }
}
