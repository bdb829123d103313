//! Runs Nix's programs. Knows nothing of their arguments.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::exec::{CommandError, ShortCommand, lives};
use crate::store::Hold;
use crate::store::copy::{CopyError, Stop};
use crate::store::error::StoreError;
use crate::store::nix::{NixStore, POLL};

/// The starts of the names of the directories, in the store, into which Nix writes a file before it knows its hash:
/// `add-<process>-<number>` up to 2.8, `tmp-…` later.
const UNFINISHED: [&str; 2] = ["add-", "tmp-"];

/// How long a file that somebody writes stays as it is at most.
const STILL: Duration = Duration::from_secs(3);

/// The variable that names the run in the environment of the programs that write into a store for it.
pub const WRITER_MARK: &str = "ISAR_BUILD_ALL_REGISTERS";

/// The value that names a run. Runs of two checkouts may begin in one second.
#[must_use]
pub fn writer_mark(run: &str, state_dir: &Path) -> String {
    format!("{run}@{}", state_dir.display())
}

impl NixStore {
    /// Runs `nix-store`; see [`NixStore::run_program`].
    pub(super) fn run(
        &self,
        hold: &Hold,
        args: &[&OsStr],
        stop: Stop<'_>,
    ) -> Result<String, StoreError> {
        self.run_program(&self.program, hold, args, stop)
    }

    pub(super) fn command_line(&self, args: &[&OsStr]) -> String {
        command_line(&self.program, args)
    }

    /// Runs a program and answers what it printed, less the last line end. When `stop` says so it is
    /// killed, which leaves nothing valid that was not.
    pub(super) fn run_program(
        &self,
        program: &Path,
        hold: &Hold,
        args: &[&OsStr],
        stop: Stop<'_>,
    ) -> Result<String, StoreError> {
        let mut command = ShortCommand::new(program).args(args);
        if hold.lock.is_some() {
            // With `min-free` set, adding starts a collector and waits for it, and the collector would
            // wait for our lock.
            command = command.args(["--option", "min-free", "0"]);
        }
        let result = command
            .in_current_dir()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .run_until(stop);
        let output = match result {
            Ok(output) => output,
            Err(CommandError::Stopped { pid }) => {
                self.remove_unfinished(pid);
                return Err(CopyError::Stopped(program.to_owned()).into());
            }
            Err(error) => {
                return Err(StoreError::Start {
                    program: program.to_owned(),
                    source: error.into(),
                });
            }
        };
        if !output.status.success() {
            return Err(StoreError::Command {
                command: command_line(program, args),
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        Ok(printed.trim_end_matches('\n').to_owned())
    }

    /// The directories in the store with files that dead processes of this user were writing: the process does not exist,
    /// and because it may be alive in another process table, the directory has also been still for a while. Waits until
    /// that is known.
    #[must_use]
    pub fn unfinished_of_the_dead(&self) -> Vec<PathBuf> {
        let until = Instant::now() + STILL + POLL;
        loop {
            let mut found = self.of_the_dead();
            if found.iter().all(|dir| is_still(dir)) || Instant::now() > until {
                found.retain(|dir| is_still(dir));
                return found;
            }
            std::thread::sleep(POLL);
        }
    }

    fn of_the_dead(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.store_dir)
            .into_iter()
            .flatten()
            .flatten();
        let mut found: Vec<PathBuf> = entries
            .filter(|entry| {
                let name = entry.file_name();
                let process = UNFINISHED.iter().find_map(|begin| {
                    let (process, _) = name.to_str()?.strip_prefix(begin)?.split_once('-')?;
                    process.parse::<i32>().ok()
                });
                process.is_some_and(|process| !lives(process)) && is_own(&entry.path())
            })
            .map(|entry| entry.path())
            .collect();
        found.sort();
        found
    }

    /// Removes the unfinished files of a process that this one killed: the collector would do it later.
    fn remove_unfinished(&self, process: i32) {
        let names = UNFINISHED.map(|begin| format!("{begin}{process}-"));
        for entry in fs::read_dir(&self.store_dir)
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            let is_its = |begin: &String| name.to_string_lossy().starts_with(begin);
            if names.iter().any(is_its) {
                // In a store of a daemon it is the daemon's to remove.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn is_own(dir: &Path) -> bool {
    dir.symlink_metadata()
        .is_ok_and(|there| there.is_dir() && there.uid() == rustix::process::geteuid().as_raw())
}

/// Whether a directory, and what is in it, have not changed for a while.
fn is_still(dir: &Path) -> bool {
    let is_old = |path: &Path| {
        path.symlink_metadata().is_ok_and(|there| {
            let changed = UNIX_EPOCH + Duration::from_secs(there.mtime().try_into().unwrap_or(0));
            changed.elapsed().is_ok_and(|age| age > STILL)
        })
    };
    let inside = fs::read_dir(dir).into_iter().flatten().flatten();
    is_old(dir) && inside.map(|entry| entry.path()).all(|path| is_old(&path))
}

fn command_line(program: &Path, args: &[&OsStr]) -> String {
    let mut words = vec![program.display().to_string()];
    words.extend(args.iter().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}
