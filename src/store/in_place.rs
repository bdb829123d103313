//! Adds a file to the Nix store from the deploy directory and hashes it in this process at the same time: neither waits
//! for the other, and no byte is copied twice. Knows nothing of the file's content.
//!
//! Two checks prove that both read the same bytes: the path that Nix prints must be the one that this process computes from
//! its hash, and the file must have the same stamp at the end as at the beginning. A path that was added of another file
//! has no root, and the next garbage collection removes it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::event::ArtifactOrigin;
use crate::fs::PathError;
use crate::fs::stamp::Stamp;
use crate::store::copy;
use crate::store::copy::{CopyError, Hashed};
use crate::store::error::StoreError;
use crate::store::hashing::Want;
use crate::store::nix::PathAddition;
use crate::store::{Hold, NixStore, OpenStore as _};

/// How often a wait looks for a request to stop.
const POLL: Duration = Duration::from_millis(50);

/// Permission to add files that are being hashed: unknown, granted, or refused for good.
#[derive(Debug, Default)]
pub struct Go {
    answer: Mutex<Option<bool>>,
    known: Condvar,
}

impl Go {
    /// Grants or refuses; only the first call counts.
    pub fn say(&self, go: bool) {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.get_or_insert(go);
        self.known.notify_all();
    }

    fn is_refused(&self) -> bool {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) == Some(false)
    }

    /// Waits for the answer, or for `stop`, which counts as a refusal. `stop` runs under the lock and must not use it.
    fn wait(&self, stop: &dyn Fn() -> bool) -> bool {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *answer {
                Some(go) => return go,
                None if stop() => return false,
                None => {}
            }
            answer = self
                .known
                .wait_timeout(answer, POLL)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// A file to add from the deploy directory.
#[derive(Debug, Clone, Copy)]
pub struct FileInPlace<'a> {
    /// Its path.
    pub source: &'a Path,
    /// Its name in the store.
    pub name: &'a str,
    /// The stamp with which the gates examined it.
    pub before: &'a Stamp,
}

impl NixStore {
    /// Hashes a file and adds it with `program`, which is `nix-instantiate`; the addition waits for `go`.
    ///
    /// # Errors
    /// See [`StoreError`]; a file that changed is [`CopyError::Changed`].
    pub(super) fn hash_and_add(
        &self,
        program: &Path,
        hold: &Hold,
        file: &FileInPlace<'_>,
        go: &Go,
    ) -> Result<(Hashed, ArtifactOrigin), StoreError> {
        let FileInPlace {
            source,
            name,
            before,
        } = *file;
        let given_up = AtomicBool::new(false);
        let ended = || given_up.load(Ordering::Relaxed) || hold.is_stopped();
        let stop = || ended() || go.is_refused();
        let addition = PathAddition {
            source,
            name,
            sha256: None,
        };
        let (hashed, added) = thread::scope(|scope| {
            let adding = scope.spawn(|| {
                let added = if go.wait(&ended) {
                    self.add_path(program, hold, &addition, &stop)
                } else {
                    Err(CopyError::Stopped(source.to_owned()).into())
                };
                if added.is_err() {
                    given_up.store(true, Ordering::Relaxed);
                }
                added
            });
            let hashed = copy::hash(source, Want::FlatAndNar, &stop)
                .map_err(StoreError::from)
                .and_then(|hashed| {
                    let path = self.path_of(&hashed.sums.sha256, name)?;
                    let is_valid = self.is_valid(hold, &path)?;
                    Ok((hashed, path, is_valid))
                });
            // A file that the store has already, or that has changed, need not be written.
            if !matches!(hashed, Ok((_, _, false))) {
                given_up.store(true, Ordering::Relaxed);
            }
            let panicked = |_| {
                Err(std::io::Error::other("adding it panicked")).map_err(|error| {
                    StoreError::from(PathError::on::<std::io::Error>("add", source)(error))
                })
            };
            (hashed, adding.join().unwrap_or_else(panicked))
        });
        let (hashed, how) = match (hashed, added) {
            (Ok((hashed, _, true)), _) => (hashed, ArtifactOrigin::AlreadyValid),
            (Ok((hashed, path, false)), Ok(printed)) if printed == path => {
                (hashed, ArtifactOrigin::Added)
            }
            (Ok((_, _, false)), Ok(_)) => {
                return Err(changed(source, "its content, between two reads").into());
            }
            // The hashing stopped because the addition failed.
            (Err(StoreError::Copy(CopyError::Stopped(_))), Err(error)) => return Err(error),
            (Err(error), _) | (Ok((_, _, false)), Err(error)) => return Err(error),
        };
        let after = source
            .symlink_metadata()
            .map_err(PathError::on("read", source))?;
        if hashed.stamp != *before || Stamp::of(&after) != *before {
            return Err(changed(source, "its state").into());
        }
        Ok((hashed, how))
    }
}

fn changed(source: &Path, what: &'static str) -> CopyError {
    CopyError::Changed {
        path: source.to_owned(),
        what,
    }
}
