//! The Nix store through `nix-store`, its official interface. Knows nothing of the hashes file.
//!
//! What each command does is Nix's manual and was seen with 2.8: `--add-fixed` leaves no GC root and
//! ignores `--add-root`; `--realise PATH --add-root LINK` makes one, replaces a link into the store and
//! refuses to replace anything else; a file at a store path is no proof that it is complete, only the
//! database knows.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

use super::copy::{CopyError, Stop};
use super::error::StoreError;
use super::{Added, Captured, Hold};
use crate::files::{PathError, parent, remove, replace_link, with_suffix};
use crate::model::event::How;
use crate::model::{nix32, store_path};

/// How often a request to stop is looked for.
const POLL: Duration = Duration::from_millis(50);

const NEVER: Stop<'static> = &|| false;

/// A Nix store.
#[derive(Debug, Clone)]
pub struct NixStore {
    /// The program `nix-store`.
    pub program: PathBuf,
    /// The store directory; part of every store path's hash.
    pub store_dir: PathBuf,
    /// Nix's state directory, where `gc.lock` is.
    pub state_dir: PathBuf,
    /// Further variables for the program, for a store that is not the installation's own.
    pub env: Vec<(OsString, OsString)>,
}

impl NixStore {
    /// The store of an ordinary installation.
    #[must_use]
    pub fn new(program: PathBuf) -> NixStore {
        NixStore {
            program,
            store_dir: PathBuf::from(store_path::NIX_STORE_DIR),
            state_dir: PathBuf::from("/nix/var/nix"),
            env: Vec::new(),
        }
    }

    pub(super) fn path_of(&self, sha256: &[u8; 32], name: &str) -> Result<PathBuf, StoreError> {
        let store_dir = text(&self.store_dir)?;
        Ok(store_path::flat_path(store_dir, sha256, name)?.into())
    }

    /// Holds the collector back. In a multi-user installation the lock belongs to the daemon and
    /// cannot be opened; between adding a path and rooting it nothing protects it there.
    pub(super) fn lock(&self, stop: Stop<'_>) -> Result<Option<File>, StoreError> {
        let path = self.state_dir.join("gc.lock");
        let Ok(file) = File::open(&path) else {
            return Ok(None);
        };
        // Waits for a collector that runs, as Nix itself would.
        loop {
            match flock(&file, FlockOperation::NonBlockingLockShared) {
                Ok(()) => return Ok(Some(file)),
                Err(Errno::WOULDBLOCK) if stop() => return Err(CopyError::Stopped(path).into()),
                Err(Errno::WOULDBLOCK) => std::thread::sleep(POLL),
                Err(error) => return Err(PathError::on("lock", &path)(error).into()),
            }
        }
    }

    pub(super) fn is_valid(&self, hold: &Hold, path: &Path) -> Result<bool, StoreError> {
        // Without --print-invalid an invalid path and a broken database both end with status 1.
        let args = [
            "--check-validity".as_ref(),
            "--print-invalid".as_ref(),
            path.as_os_str(),
        ];
        let invalid = self.run(hold, &args, &hold.stop)?;
        Ok(invalid.is_empty())
    }

    pub(super) fn insert(&self, hold: &Hold, captured: &Captured) -> Result<Added, StoreError> {
        let name = &captured.unique_name;
        let store_path = self.path_of(&captured.sha256, name)?;
        let how = if self.is_valid(hold, &store_path)? {
            self.check_file(&store_path, captured)?;
            How::AlreadyValid
        } else {
            if captured.path.file_name() != Some(OsStr::new(name)) {
                return Err(StoreError::BaseName {
                    path: captured.path.clone(),
                    name: name.clone(),
                });
            }
            let args = [
                "--add-fixed".as_ref(),
                "sha256".as_ref(),
                captured.path.as_os_str(),
            ];
            let printed = PathBuf::from(self.run(hold, &args, &hold.stop)?);
            if printed != store_path {
                return Err(StoreError::PathMismatch {
                    name: name.clone(),
                    printed,
                    computed: store_path,
                });
            }
            How::Added
        };
        self.check_recorded_hash(hold, &store_path, captured)?;
        Ok(Added { store_path, how })
    }

    /// Valid paths are not read again, but a file of another size is seen without reading.
    fn check_file(&self, path: &Path, captured: &Captured) -> Result<(), StoreError> {
        let damaged = |what: String| StoreError::Damaged {
            path: path.to_owned(),
            what,
            remove: delete_command(path),
        };
        match path.symlink_metadata() {
            Ok(there) if !there.is_file() => Err(damaged("no file".to_owned())),
            Ok(there) if there.len() != captured.bytes => Err(damaged(format!(
                "{} bytes instead of {}",
                there.len(),
                captured.bytes
            ))),
            Ok(_) => Ok(()),
            Err(error) => Err(damaged(error.to_string())),
        }
    }

    /// The database holds the hash of the archive; it must be that of our bytes.
    fn check_recorded_hash(
        &self,
        hold: &Hold,
        path: &Path,
        captured: &Captured,
    ) -> Result<(), StoreError> {
        let Some(nar_sha256) = &captured.nar_sha256 else {
            return Ok(());
        };
        let args = ["-q".as_ref(), "--hash".as_ref(), path.as_os_str()];
        let printed = self.run(hold, &args, &hold.stop)?;
        let recorded = printed
            .strip_prefix("sha256:")
            .filter(|hash| nix32::decode(hash).is_ok())
            .ok_or_else(|| StoreError::Printed {
                command: self.command_line(&args),
                printed: printed.clone(),
                expected: "a SHA-256 in Nix base32",
            })?;
        let ours = nix32::encode(nar_sha256);
        if recorded == ours {
            Ok(())
        } else {
            Err(StoreError::RecordedHash {
                path: path.to_owned(),
                recorded: recorded.to_owned(),
                ours,
            })
        }
    }

    /// Makes `link` a GC root of `target`, replacing a link or file that is there. What was there
    /// stays until the new is rooted, a file under a second name.
    pub(super) fn link(&self, hold: &Hold, target: &Path, link: &Path) -> Result<(), StoreError> {
        let there = match link.symlink_metadata() {
            Ok(metadata) => Some(metadata.file_type()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(PathError::on("read", link)(error).into()),
        };
        match there {
            None => self.root(hold, target, link),
            Some(kind) if kind.is_dir() => Err(StoreError::InTheWay(link.to_owned())),
            Some(kind) if kind.is_symlink() => {
                let old = fs::read_link(link).map_err(PathError::on("read", link))?;
                if old.starts_with(&self.store_dir) {
                    return self.root(hold, target, link);
                }
                replace_link(target, link)?;
                self.root(hold, target, link).inspect_err(|_| {
                    // The error to tell is the first.
                    let _ = replace_link(&old, link);
                })
            }
            Some(_) => self.replace_file(hold, target, link),
        }
    }

    pub(super) fn turn_back(
        &self,
        hold: &Hold,
        before: &Path,
        link: &Path,
    ) -> Result<(), StoreError> {
        if before.starts_with(&self.store_dir) {
            self.root(hold, before, link)
        } else {
            Ok(replace_link(before, link)?)
        }
    }

    fn replace_file(&self, hold: &Hold, target: &Path, link: &Path) -> Result<(), StoreError> {
        let kept = with_suffix(link, ".old.part");
        remove(&kept)?;
        fs::hard_link(link, &kept).map_err(PathError::on("link", &kept))?;
        let rooted = replace_link(target, link)
            .map_err(StoreError::from)
            .and_then(|()| self.root(hold, target, link));
        match rooted {
            Ok(()) => Ok(remove(&kept)?),
            Err(error) => {
                // The error to tell is the first.
                let _ = fs::rename(&kept, link);
                let _ = fs::remove_file(&kept);
                Err(error)
            }
        }
    }

    fn root(&self, hold: &Hold, target: &Path, link: &Path) -> Result<(), StoreError> {
        // Nix takes a relative link from its working directory, and keeps what it was given.
        let link = std::path::absolute(link).map_err(PathError::on("read", link))?;
        let args = [
            "--realise".as_ref(),
            target.as_os_str(),
            "--add-root".as_ref(),
            link.as_os_str(),
            // Before 2.4 a root outside of Nix's own directory needs to be asked for; later it is
            // taken and ignored.
            "--indirect".as_ref(),
        ];
        self.run(hold, &args, NEVER)?;
        match fs::read_link(&link) {
            Ok(points_to) if points_to == target => {}
            Ok(points_to) => {
                return Err(StoreError::Printed {
                    command: self.command_line(&args),
                    printed: points_to.display().to_string(),
                    expected: "where the new root should point to",
                });
            }
            Err(error) => return Err(PathError::on("read", &link)(error).into()),
        }
        Ok(crate::files::sync_dir(parent(&link))?)
    }

    fn command_line(&self, args: &[&OsStr]) -> String {
        let mut words = vec![self.program.display().to_string()];
        words.extend(args.iter().map(|arg| arg.to_string_lossy().into_owned()));
        words.join(" ")
    }

    /// Runs `nix-store` and answers what it printed, less the last line end. When `stop` says so it is
    /// killed, which leaves nothing valid that was not.
    fn run(&self, hold: &Hold, args: &[&OsStr], stop: Stop<'_>) -> Result<String, StoreError> {
        let mut command = Command::new(&self.program);
        command.args(args);
        if hold.lock.is_some() {
            // With `min-free` set, adding starts a collector and waits for it, and the collector would
            // wait for our lock.
            command.args(["--option", "min-free", "0"]);
        }
        let start = |source| StoreError::Start {
            program: self.program.clone(),
            source,
        };
        tracing::debug!(program = ?self.program, ?args, "start");
        let child = command
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            // Control-C at the terminal goes to the whole group, but a registration is to end well.
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        let group = Pid::from_child(&child);
        let (say_ended, ended) = mpsc::channel();
        let (output, stopped) = std::thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                let output = child.wait_with_output();
                // The other side waits for it.
                let _ = say_ended.send(());
                output
            });
            let mut stopped = false;
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(POLL) {
                if !stopped && stop() {
                    stopped = true;
                    // One that has just ended is no loss.
                    let _ = kill_process_group(group, Signal::KILL);
                }
            }
            let panicked = |_| Err(io::Error::other("waiting for it panicked"));
            (waiting.join().unwrap_or_else(panicked), stopped)
        });
        let output = output.map_err(start)?;
        if stopped && !output.status.success() {
            return Err(CopyError::Stopped(self.program.clone()).into());
        }
        if !output.status.success() {
            return Err(StoreError::Command {
                command: self.command_line(args),
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        Ok(printed.trim_end_matches('\n').to_owned())
    }
}

/// The command that takes a path out of the store although output entries root it.
pub(super) fn delete_command(path: &Path) -> String {
    format!("nix-store --delete --ignore-liveness {}", path.display())
}

fn text(path: &Path) -> Result<&str, StoreError> {
    path.to_str()
        .ok_or_else(|| StoreError::NotUtf8(path.to_owned()))
}
