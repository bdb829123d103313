//! The WSL host: the paths and programs with which the guard reads, mounts and unmounts drives.
//! Tests put all of them elsewhere.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::identity::Host;
use crate::host::mountinfo;
use crate::host::mountinfo::Mount;
use crate::settings::Environment;
use crate::tools;
use crate::wsl::call::{Called, call};
use crate::wsl::conf::AutomountConf;
use crate::wsl::drive;
use crate::wsl::drive::{DriveMounts, WindowsDrive};
use crate::wsl::drive_users;
use crate::wsl::ledger;
use crate::wsl::ledger::LedgerError;
use crate::wsl::path_on_drive::resolve_up_to;
use crate::wsl::seccomp;

/// Time limit for one mount or unmount.
const MOUNT_LIMIT: Duration = Duration::from_secs(30);

/// Time limit for listing a drive's root, and for scanning all processes.
const SCAN_LIMIT: Duration = Duration::from_secs(60);

/// Additional time for `timeout` to kill what it runs.
const GRACE: Duration = Duration::from_secs(2);

/// Paths and programs of a WSL host.
#[derive(Debug, Clone)]
pub struct WslHost {
    /// The WSL distribution, empty where it has no name; none where this is not WSL.
    pub wsl: Option<String>,
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys/class/bdi`, which has one entry per superblock with write-back.
    pub bdi: PathBuf,
    /// `/etc/wsl.conf`.
    pub conf: PathBuf,
    /// `/run/wsl/virtiofs`, where WSL maps each virtiofs tag to a Windows directory.
    pub tags: PathBuf,
    /// The directory of the ledger; one per user.
    pub ledger: PathBuf,
    /// The words before a command that make it run as root without a prompt; empty for root itself.
    pub elevate: Vec<String>,
    /// This binary.
    pub program: PathBuf,
}

/// Commands cannot run as root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoot {
    /// Neither sudo nor run0 works without a prompt.
    #[error("mounting needs root, and {0}")]
    Unavailable(String),
    /// sudo works only because it remembers a password. It would prompt again when the drives have
    /// to be mounted.
    #[error("mounting needs sudo without a password, and sudo only remembers one")]
    Remembered,
}

impl NoRoot {
    /// A remedy, as a command where there is one.
    #[must_use]
    pub fn hint(&self) -> String {
        "allow it by `sudo visudo`: USER ALL=(root) NOPASSWD: ALL; or set `wsl.sync-guard = \"seccomp\"`".to_owned()
    }
}

impl WslHost {
    /// This host, without elevation.
    #[must_use]
    pub fn capture(host: &Host) -> WslHost {
        WslHost {
            wsl: host.wsl.clone(),
            proc: PathBuf::from("/proc"),
            bdi: PathBuf::from("/sys/class/bdi"),
            conf: PathBuf::from("/etc/wsl.conf"),
            tags: PathBuf::from("/run/wsl/virtiofs"),
            // Not in the user's runtime directory: that is removed with the user's last session,
            // and the ledger is needed to mount the drives again.
            ledger: PathBuf::from(format!("/tmp/isar-build-all-{}", host.uid)),
            elevate: Vec::new(),
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("isar-build-all")),
        }
    }

    /// The same with an elevation that never prompts.
    ///
    /// # Errors
    /// When there is none.
    pub fn with_root(mut self, environment: &Environment, uid: u32) -> Result<WslHost, NoRoot> {
        if uid == 0 {
            return Ok(self);
        }
        self.elevate = tools::elevation(environment).map_err(NoRoot::Unavailable)?;
        if self.elevate.first().is_some_and(|word| is_sudo(word)) {
            // With `-k` and a command, sudo ignores a remembered password.
            let mut words = vec![self.elevate[0].clone(), "-k".to_owned(), "-n".to_owned()];
            words.push("true".to_owned());
            if !call(&words, SCAN_LIMIT).is_ok() {
                return Err(NoRoot::Remembered);
            }
        }
        Ok(self)
    }

    /// Where and how WSL mounts drives. Links in the root are resolved, as the kernel resolves them
    /// in the list of mounts, up to a drive and no further.
    #[must_use]
    pub fn automount(&self) -> AutomountConf {
        let mut automount = std::fs::read(&self.conf)
            .map(|text| AutomountConf::parse(&String::from_utf8_lossy(&text)))
            .unwrap_or_default();
        if let Ok(mounts) = self.mounts() {
            let drives = mounts.iter().filter(|mount| drive::has_drive_type(mount));
            let stops: Vec<&Path> = drives.map(|mount| mount.point.as_path()).collect();
            automount.root = resolve_up_to(&automount.root, &stops).0;
        }
        automount
    }

    /// Every mount of this process's namespace.
    ///
    /// # Errors
    /// When mountinfo cannot be read.
    pub fn mounts(&self) -> io::Result<Vec<Mount>> {
        mounts_of(&self.proc.join("self"))
    }

    /// The Windows drives of this process's namespace; none where this is not WSL.
    ///
    /// # Errors
    /// When mountinfo cannot be read.
    pub fn drives(&self) -> io::Result<DriveMounts> {
        if self.wsl.is_none() {
            return Ok(DriveMounts::default());
        }
        Ok(drive::classify(&self.mounts()?, &self.automount().root))
    }

    /// The drives that are unmounted now, for any build; none where this is not WSL.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn unmounted(&self) -> Result<Vec<WindowsDrive>, LedgerError> {
        if self.wsl.is_none() {
            return Ok(Vec::new());
        }
        let boot = self.boot();
        let unmounted = ledger::peek(&self.ledger)?.filter(|unmounted| unmounted.boot == boot);
        Ok(unmounted
            .map(|unmounted| unmounted.drives)
            .unwrap_or_default())
    }

    /// The number of seccomp filters of this process, which its children inherit.
    #[must_use]
    pub fn filters(&self) -> u32 {
        let status = std::fs::read_to_string(self.proc.join("self/status"));
        seccomp::filters(&status.unwrap_or_default())
    }

    /// The number of 9p superblocks in the kernel.
    #[must_use]
    pub fn superblocks(&self) -> usize {
        let names = std::fs::read_dir(&self.bdi).into_iter().flatten().flatten();
        names
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("9p-"))
            .count()
    }

    /// The boot id of the running kernel. After the next boot WSL mounts all drives itself.
    #[must_use]
    pub fn boot(&self) -> String {
        std::fs::read_to_string(self.proc.join("sys/kernel/random/boot_id"))
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    /// Runs a command as root. `timeout`, which runs as root too, enforces the limit: this user
    /// could not kill the command.
    pub(super) fn as_root(&self, words: &[&OsStr], limit: Duration) -> Called {
        let mut argv = self.elevate.clone();
        argv.extend(["timeout", "-s", "KILL"].map(str::to_owned));
        argv.push(limit.as_secs().to_string());
        argv.extend(words.iter().map(|word| word.to_string_lossy().into_owned()));
        match call(&argv, limit + GRACE) {
            // `timeout -s KILL` also dies of the signal, and sudo passes that on as 128 + 9.
            Called::Ended { code: 137, .. } => Called::Hangs,
            called => called,
        }
    }

    pub(super) fn umount(&self, point: &Path, lazy: bool) -> Called {
        let mut words: Vec<&OsStr> = vec!["umount".as_ref()];
        if lazy {
            words.push("-l".as_ref());
        }
        words.push(point.as_os_str());
        self.as_root(&words, MOUNT_LIMIT)
    }

    pub(super) fn mount(&self, words: &[String]) -> Called {
        let words: Vec<&OsStr> = std::iter::once(OsStr::new("mount"))
            .chain(words.iter().map(OsStr::new))
            .collect();
        self.as_root(&words, MOUNT_LIMIT)
    }

    /// Writes `word` into a file of the kernel, as root.
    ///
    /// # Errors
    /// The reason, as a sentence.
    pub fn write_as_root(&self, file: &Path, word: &str) -> Result<(), String> {
        let script = ["sh", "-c", r#"printf %s "$2" > "$1""#, "sh"].map(OsStr::new);
        let words: Vec<&OsStr> = script
            .into_iter()
            .chain([file.as_os_str(), word.as_ref()])
            .collect();
        let called = self.as_root(&words, MOUNT_LIMIT);
        match called.is_ok() {
            true => Ok(()),
            false => Err(format!(
                "{} cannot be written: {}",
                file.display(),
                called.why()
            )),
        }
    }

    /// Lists a directory as this user, in a child: a drive that does not answer would hang the
    /// caller.
    pub(super) fn list(&self, dir: &Path) -> Called {
        let dir = dir.display().to_string();
        call(&["ls", "-f", "--", &dir].map(str::to_owned), SCAN_LIMIT)
    }

    /// Whether a path is an empty directory; false if it does not answer.
    pub(super) fn is_empty_dir(&self, path: &Path) -> bool {
        let path = path.display().to_string();
        let words = ["find", &path, "-maxdepth", "0", "-type", "d", "-empty"];
        let called = call(&words.map(str::to_owned), SCAN_LIMIT);
        matches!(called, Called::Ended { code: 0, stdout, .. } if !stdout.is_empty())
    }

    /// Scans all processes for users of these devices, with this binary as root.
    pub(super) fn scan_processes(&self, devices: &[String]) -> Called {
        let automount = self.automount().root;
        let mut words: Vec<&OsStr> = vec![
            self.program.as_os_str(),
            drive_users::SUBCOMMAND.as_ref(),
            self.proc.as_os_str(),
            automount.as_os_str(),
        ];
        words.extend(devices.iter().map(OsStr::new));
        self.as_root(&words, SCAN_LIMIT)
    }
}

fn is_sudo(word: &str) -> bool {
    Path::new(word).file_name() == Some(OsStr::new("sudo"))
}

/// The mounts in the namespace of a process, by its directory in `/proc`.
pub(super) fn mounts_of(process: &Path) -> io::Result<Vec<Mount>> {
    let text = std::fs::read(process.join("mountinfo"))?;
    mountinfo::parse(&text).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_timeout_killed_hangs_and_one_that_fails_does_not() {
        let mut host = WslHost {
            wsl: None,
            proc: PathBuf::from("/proc"),
            bdi: PathBuf::new(),
            conf: PathBuf::new(),
            tags: PathBuf::new(),
            ledger: PathBuf::new(),
            elevate: Vec::new(),
            program: PathBuf::new(),
        };
        let run = |host: &WslHost, words: [&str; 3]| {
            host.as_root(&words.map(OsStr::new), Duration::from_secs(1))
        };
        // The shell reports the kill as an exit code, as some elevating programs do.
        for elevate in [&[][..], &["sh", "-c", "\"$@\"; exit $?", "sh"]] {
            host.elevate = elevate.iter().map(|&word| word.to_owned()).collect();
            let begin = std::time::Instant::now();
            assert_eq!(run(&host, ["sh", "-c", "sleep 60"]), Called::Hangs);
            // `timeout` ended it, and not the later limit of the call itself.
            assert!(begin.elapsed() < Duration::from_secs(1) + GRACE);
            let fails = run(&host, ["sh", "-c", "exit 32"]);
            assert!(matches!(fails, Called::Ended { code: 32, .. }), "{fails:?}");
        }
    }
}
