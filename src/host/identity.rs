//! The user and the machine: user id, architecture, kernel, WSL distribution, NixOS.

use std::path::Path;

use crate::base::arch::Arch;
use crate::settings::Environment;

/// The host and the user that runs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The effective user id of this process.
    pub uid: u32,
    /// The machine's architecture; none where it is not a known one.
    pub arch: Option<Arch>,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The name of the WSL distribution, empty where only the kernel shows that this is WSL; none
    /// where it is not WSL.
    pub wsl: Option<String>,
    /// Whether this is NixOS, where the system's own programs come from the Nix store.
    pub nixos: bool,
}

/// The user is root, and builds cannot run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("running as root: kas-container refuses it, and ISAR cannot install packages as root")]
pub struct RunsAsRoot;

impl RunsAsRoot {
    /// A remedy, as a command where there is one.
    #[must_use]
    pub fn hint(self) -> Option<String> {
        let hint =
            "run it as a normal user who may use sudo; `scripts/setup` creates the user `isar`";
        Some(hint.to_owned())
    }
}

impl Host {
    /// The host that this process runs on.
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

    /// Refuses to build as root. kas-container exits when root starts it; forced to run as root,
    /// ISAR's `do_rootfs_install` fails because apt cannot set groups inside bubblewrap.
    ///
    /// # Errors
    /// [`RunsAsRoot`] when the effective user id is 0.
    pub fn refuse_root(&self) -> Result<(), RunsAsRoot> {
        if self.uid == 0 {
            Err(RunsAsRoot)
        } else {
            Ok(())
        }
    }
}

/// The release of a WSL 1 kernel contains `Microsoft`, of a WSL 2 kernel `microsoft`; a self-built
/// kernel may contain neither.
fn wsl(kernel: &str, distro: Option<&str>, interop: Option<&str>) -> Option<String> {
    let by_kernel = kernel.to_lowercase().contains("microsoft");
    match distro {
        Some(distro) => Some(distro.to_owned()),
        None => (by_kernel || interop.is_some()).then(String::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_release_or_variables_reveal_wsl() {
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
}
