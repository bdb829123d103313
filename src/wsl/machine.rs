//! The machine as this room sees it: where the kernel tells of mounts, where we keep what we took away, and
//! the programs that mount and unmount. All of it can be elsewhere in a test.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::call::{Called, call};
use super::conf::Automount;
use super::drive::{self, Drive, Drives};
use super::ledger::{self, LedgerError};
use super::{place, seccomp};
use crate::model::mountinfo::{self, Mount};
use crate::settings::Environment;
use crate::tools::{self, Host};

/// How long one mount or unmount may take.
const MOUNT_LIMIT: Duration = Duration::from_secs(30);

/// How long a drive may take to list its root, and how long looking through all processes may take.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// How much longer `timeout` is given to kill what it runs.
const GRACE: Duration = Duration::from_secs(2);

/// Where things are, and with which words programs are run.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The WSL distribution, empty where it has no name; none where this is not WSL.
    pub wsl: Option<String>,
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys/class/bdi`: one entry for each superblock that is written back.
    pub bdi: PathBuf,
    /// `/etc/wsl.conf`.
    pub conf: PathBuf,
    /// Where WSL says which directory of Windows a tag of virtiofs is: `/run/wsl/virtiofs`.
    pub tags: PathBuf,
    /// Our own directory for what is unmounted at the moment; one for each user.
    pub ledger: PathBuf,
    /// What makes a program run as root, without asking; empty where we are root.
    pub elevate: Vec<String>,
    /// Our own binary.
    pub program: PathBuf,
}

/// Why root cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoot {
    /// There is no way at all.
    #[error("mounting needs root, and {0}")]
    No(String),
    /// It works now because the password was given a while ago, and would ask again in the middle.
    #[error("mounting needs sudo without a password, and sudo only remembers one")]
    Remembered,
}

impl NoRoot {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        "allow it by `sudo visudo`: USER ALL=(root) NOPASSWD: ALL; or set `wsl.sync-guard = \"seccomp\"`".to_owned()
    }
}

impl Machine {
    /// This machine. Root is not asked for yet.
    #[must_use]
    pub fn capture(host: &Host) -> Machine {
        Machine {
            wsl: host.wsl.clone(),
            proc: PathBuf::from("/proc"),
            bdi: PathBuf::from("/sys/class/bdi"),
            conf: PathBuf::from("/etc/wsl.conf"),
            tags: PathBuf::from("/run/wsl/virtiofs"),
            // Not in the runtime directory: that goes with the last session of a user, and what is in it
            // is needed to give drives back.
            ledger: PathBuf::from(format!("/tmp/isar-build-all-{}", host.uid)),
            elevate: Vec::new(),
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("isar-build-all")),
        }
    }

    /// The same with a way to become root that never asks.
    ///
    /// # Errors
    /// When there is none.
    pub fn with_root(mut self, environment: &Environment, uid: u32) -> Result<Machine, NoRoot> {
        if uid == 0 {
            return Ok(self);
        }
        self.elevate = tools::elevation(environment).map_err(NoRoot::No)?;
        if self.elevate.first().is_some_and(|word| is_sudo(word)) {
            // With `-k` beside a command sudo does as if no password had been given before.
            let mut words = vec![self.elevate[0].clone(), "-k".to_owned(), "-n".to_owned()];
            words.push("true".to_owned());
            if !call(&words, LOOK_LIMIT).is_ok() {
                return Err(NoRoot::Remembered);
            }
        }
        Ok(self)
    }

    /// Where WSL mounts drives and how. The kernel tells of mounts where links lead, so the root is told so,
    /// too; links are followed up to a drive and no further.
    #[must_use]
    pub fn automount(&self) -> Automount {
        let mut automount = std::fs::read(&self.conf)
            .map(|text| Automount::read(&String::from_utf8_lossy(&text)))
            .unwrap_or_default();
        if let Ok(mounts) = self.mounts() {
            let drives = mounts.iter().filter(|mount| drive::is_of_kind(mount));
            let stops: Vec<&Path> = drives.map(|mount| mount.point.as_path()).collect();
            automount.root = place::lead(&automount.root, &stops).0;
        }
        automount
    }

    /// Every mount of our namespace.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn mounts(&self) -> io::Result<Vec<Mount>> {
        mounts_of(&self.proc.join("self"))
    }

    /// The Windows drives of our namespace; none where this is not WSL.
    ///
    /// # Errors
    /// When the mounts cannot be read.
    pub fn drives(&self) -> io::Result<Drives> {
        if self.wsl.is_none() {
            return Ok(Drives::default());
        }
        Ok(drive::drives(&self.mounts()?, &self.automount().root))
    }

    /// Drives that are unmounted at the moment, whoever needs them away; none where this is not WSL.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub fn away(&self) -> Result<Vec<Drive>, LedgerError> {
        if self.wsl.is_none() {
            return Ok(Vec::new());
        }
        let boot = self.boot();
        let away = ledger::peek(&self.ledger)?.filter(|away| away.boot == boot);
        Ok(away.map(|away| away.drives).unwrap_or_default())
    }

    /// How many filters of system calls we are under, and with us what we start.
    #[must_use]
    pub fn filters(&self) -> u32 {
        let status = std::fs::read_to_string(self.proc.join("self/status"));
        seccomp::filters(&status.unwrap_or_default())
    }

    /// How many superblocks of 9p live in the kernel.
    #[must_use]
    pub fn superblocks(&self) -> usize {
        let names = std::fs::read_dir(&self.bdi).into_iter().flatten().flatten();
        names
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("9p-"))
            .count()
    }

    /// The number of this start of the kernel: what was unmounted before another is mounted by itself.
    #[must_use]
    pub fn boot(&self) -> String {
        std::fs::read_to_string(self.proc.join("sys/kernel/random/boot_id"))
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    /// Runs a program as root, with a limit that is kept by somebody who may kill it.
    pub(super) fn as_root(&self, words: &[&OsStr], limit: Duration) -> Called {
        let mut argv = self.elevate.clone();
        argv.extend(["timeout", "-s", "KILL"].map(str::to_owned));
        argv.push(limit.as_secs().to_string());
        argv.extend(words.iter().map(|word| word.to_string_lossy().into_owned()));
        match call(&argv, limit + GRACE) {
            // `timeout` kills itself together with what it runs, and sudo does as the one below it did.
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

    /// Writes a word into a file of the kernel's, as root.
    ///
    /// # Errors
    /// Why it could not be written, as a sentence.
    pub fn tell(&self, file: &Path, word: &str) -> Result<(), String> {
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

    /// Lists a directory as the user does: a drive that is mounted and does not answer is none.
    pub(super) fn list(&self, dir: &Path) -> Called {
        let dir = dir.display().to_string();
        call(&["ls", "-f", "--", &dir].map(str::to_owned), LOOK_LIMIT)
    }

    /// Whether a path is a directory with nothing in it; not where it does not answer.
    pub(super) fn is_empty_dir(&self, path: &Path) -> bool {
        let path = path.display().to_string();
        let words = ["find", &path, "-maxdepth", "0", "-type", "d", "-empty"];
        let called = call(&words.map(str::to_owned), LOOK_LIMIT);
        matches!(called, Called::Ended { code: 0, stdout, .. } if !stdout.is_empty())
    }

    /// Runs our own look at all processes as root.
    pub(super) fn look(&self, devices: &[String]) -> Called {
        let automount = self.automount().root;
        let mut words: Vec<&OsStr> = vec![
            self.program.as_os_str(),
            super::holders::SUBCOMMAND.as_ref(),
            self.proc.as_os_str(),
            automount.as_os_str(),
        ];
        words.extend(devices.iter().map(OsStr::new));
        self.as_root(&words, LOOK_LIMIT)
    }
}

fn is_sudo(word: &str) -> bool {
    Path::new(word).file_name() == Some(OsStr::new("sudo"))
}

/// The mounts that a process sees, by its directory in `/proc`.
pub(super) fn mounts_of(process: &Path) -> io::Result<Vec<Mount>> {
    let text = std::fs::read(process.join("mountinfo"))?;
    mountinfo::parse(&text).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_real_timeout_had_to_kill_hangs_and_what_fails_does_not() {
        let mut machine = Machine {
            wsl: None,
            proc: PathBuf::from("/proc"),
            bdi: PathBuf::new(),
            conf: PathBuf::new(),
            tags: PathBuf::new(),
            ledger: PathBuf::new(),
            elevate: Vec::new(),
            program: PathBuf::new(),
        };
        let run = |machine: &Machine, words: [&str; 3]| {
            machine.as_root(&words.map(OsStr::new), Duration::from_secs(1))
        };
        // A shell between us and it tells of the kill by its exit code, as some programs that elevate do.
        for elevate in [&[][..], &["sh", "-c", "\"$@\"; exit $?", "sh"]] {
            machine.elevate = elevate.iter().map(|&word| word.to_owned()).collect();
            let begin = std::time::Instant::now();
            assert_eq!(run(&machine, ["sh", "-c", "sleep 60"]), Called::Hangs);
            // Not our own limit, which would leave it running behind sudo.
            assert!(begin.elapsed() < Duration::from_secs(1) + GRACE);
            let fails = run(&machine, ["sh", "-c", "exit 32"]);
            assert!(matches!(fails, Called::Ended { code: 32, .. }), "{fails:?}");
        }
    }
}
