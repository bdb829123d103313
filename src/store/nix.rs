//! The Nix store through its official interfaces, or directly where it is ours and the user says so.
//! Knows nothing of the hashes file.
//!
//! A file is added by the first of these that there is: [`direct`], if it was asked for; `builtins.path`
//! ([`path`]), which takes a file from where it lies under any name; `nix-store --add-fixed`, which wants a
//! copy of the right name. The effects of each command are those of Nix's manual, and were observed with 2.8: `--add-fixed` leaves no GC root and
//! ignores `--add-root`; `--realise PATH --add-root LINK` makes one, replaces a link into the store and
//! refuses to replace anything else; a file at a store path is no proof that it is complete, only the
//! database knows.

mod backend;
mod command;
mod direct;
mod path;

pub use crate::store::nix::backend::NixBackend;
pub use crate::store::nix::command::{WRITER_MARK, writer_mark};
pub(in crate::store) use crate::store::nix::path::PathAddition;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::base::nix32;
use crate::event::ArtifactOrigin;
use crate::fs::{PathError, parent, remove, replace_link, with_suffix};
use crate::store::copy::{CopyError, Stop, hash};
use crate::store::error::StoreError;
use crate::store::hashing::Want;
use crate::store::path as store_path;
use crate::store::{Captured, Hold};

/// How often a request to stop is looked for.
const POLL: Duration = Duration::from_millis(50);

const NEVER: Stop<'static> = &|| false;

/// A Nix store.
#[derive(Debug, Clone)]
pub struct NixStore {
    /// The program `nix-store`.
    pub program: PathBuf,
    /// The program `nix-instantiate`, to add files by `builtins.path`; none where it is not to be used.
    pub instantiate: Option<PathBuf>,
    /// Whether files are put into the store directory and its database by ourselves.
    pub direct: bool,
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
            instantiate: None,
            direct: false,
            store_dir: PathBuf::from(store_path::NIX_STORE_DIR),
            state_dir: PathBuf::from("/nix/var/nix"),
            env: Vec::new(),
        }
    }

    /// Locks the garbage collector out. In a multi-user installation the lock belongs to the daemon and cannot be opened;
    /// nothing protects a path there between its addition and its root.
    fn lock_collector(&self, stop: Stop<'_>) -> Result<Option<File>, StoreError> {
        let path = self.gc_lock();
        let Ok(file) = open_lock(&path) else {
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

    fn gc_lock(&self) -> PathBuf {
        self.state_dir.join("gc.lock")
    }

    fn check_validity(&self, hold: &Hold, path: &Path) -> Result<bool, StoreError> {
        // Without --print-invalid an invalid path and a broken database both end with status 1.
        let args = [
            "--check-validity".as_ref(),
            "--print-invalid".as_ref(),
            path.as_os_str(),
        ];
        let invalid = self.run(hold, &args, &|| hold.is_stopped())?;
        Ok(invalid.is_empty())
    }

    /// Adds a file that is not valid yet.
    fn put(
        &self,
        hold: &Hold,
        captured: &Captured,
        store_path: &Path,
    ) -> Result<ArtifactOrigin, StoreError> {
        if self.is_staged_for_us(captured) {
            return self.put_directly(hold, captured, store_path);
        }
        let name = &captured.unique_name;
        let printed = match &self.instantiate {
            Some(program) => {
                let addition = PathAddition {
                    source: &captured.path,
                    name,
                    sha256: Some(&captured.sha256),
                };
                self.add_path(program, hold, &addition, &|| hold.is_stopped())?
            }
            None => self.add_fixed(hold, &captured.path, name)?,
        };
        if printed == store_path {
            return Ok(ArtifactOrigin::Added);
        }
        Err(StoreError::PathMismatch {
            name: name.clone(),
            printed,
            computed: store_path.to_owned(),
        })
    }

    /// Adds a file under its own name, and answers the path that was printed.
    fn add_fixed(&self, hold: &Hold, path: &Path, name: &str) -> Result<PathBuf, StoreError> {
        if path.file_name() != Some(OsStr::new(name)) {
            return Err(StoreError::BaseName {
                path: path.to_owned(),
                name: name.to_owned(),
            });
        }
        let args = ["--add-fixed".as_ref(), "sha256".as_ref(), path.as_os_str()];
        Ok(PathBuf::from(self.run(hold, &args, &|| hold.is_stopped())?))
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
        let printed = self.run(hold, &args, &|| hold.is_stopped())?;
        let recorded = printed
            .strip_prefix("sha256:")
            .filter(|hash| nix32::decode(hash).is_ok())
            .ok_or_else(|| StoreError::Printed {
                command: self.command_line(&args),
                printed: printed.clone(),
                expected: "a SHA-256 in Nix base32",
            })?;
        let ours = nix32::encode(nar_sha256);
        if recorded == ours || is_executable(path, recorded, captured, &|| hold.is_stopped())? {
            Ok(())
        } else {
            Err(StoreError::RecordedHash {
                path: path.to_owned(),
                recorded: recorded.to_owned(),
                ours,
            })
        }
    }

    /// Makes `link` a GC root of `target`, replacing a link or file that is there. The old file
    /// or link stays until the new one is rooted, a file under a second name.
    fn root_entry(&self, hold: &Hold, target: &Path, link: &Path) -> Result<(), StoreError> {
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

    fn root_again(&self, hold: &Hold, before: &Path, link: &Path) -> Result<(), StoreError> {
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
        Ok(crate::fs::sync_dir(parent(&link))?)
    }
}

/// Whether the store has these bytes as an executable file, which is another archive: so `nix-store --add-fixed`
/// adds what is executable where it lies, as the initial RAM disks of ISAR are.
fn is_executable(
    path: &Path,
    recorded: &str,
    captured: &Captured,
    stop: Stop<'_>,
) -> Result<bool, StoreError> {
    let mode = path
        .symlink_metadata()
        .map_err(PathError::on("read", path))?
        .permissions()
        .mode();
    if mode & 0o111 == 0 {
        return Ok(false);
    }
    let there = hash(path, Want::FlatAndExecutableNar, stop)?.sums;
    let nar = there.nar_sha256.map(|nar| nix32::encode(&nar));
    Ok(there.sha256 == captured.sha256 && nar.as_deref() == Some(recorded))
}

/// The command that takes a path out of the store although output entries root it.
pub(super) fn delete_command(path: &Path) -> String {
    format!("nix-store --delete --ignore-liveness {}", path.display())
}

/// Opens a lock file, which Nix makes when it first needs it.
fn open_lock(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path),
        answer => answer,
    }
}

fn text(path: &Path) -> Result<&str, StoreError> {
    path.to_str()
        .ok_or_else(|| StoreError::NotUtf8(path.to_owned()))
}
