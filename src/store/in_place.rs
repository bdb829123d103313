//! Adds a file to the Nix store from where it lies, and hashes it ourselves at the same time: neither waits
//! for the other, and no byte is copied twice. Knows nothing of what the file is.
//!
//! That both have read the same is proven: the path that Nix gives must be the one that our hash says, and
//! the file must be in the same state at the end as at the beginning. A path that was added of another file
//! is nobody's root, and the next garbage collection takes it.

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
use crate::store::{Hold, NixStore};

/// How often one that waits looks whether it is to stop.
const POLL: Duration = Duration::from_millis(50);

/// Whether files that are being hashed may be added: not known, yes, or never.
#[derive(Debug, Default)]
pub struct Go {
    answer: Mutex<Option<bool>>,
    known: Condvar,
}

impl Go {
    /// Says it, once.
    pub fn say(&self, go: bool) {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.get_or_insert(go);
        self.known.notify_all();
    }

    fn is_refused(&self) -> bool {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) == Some(false)
    }

    /// Waits for it; `stop` is asked under the lock, and must not ask for it.
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

/// Hashes `source` and adds it as `name`, which waits until `go` is said. `before` is the state in which
/// the file was found to be what it should.
///
/// # Errors
/// See [`StoreError`]; a file that changed is [`CopyError::Changed`].
pub fn add(
    store: &NixStore,
    program: &Path,
    hold: &Hold,
    source: &Path,
    name: &str,
    before: &Stamp,
    go: &Go,
) -> Result<(Hashed, ArtifactOrigin), StoreError> {
    let given_up = AtomicBool::new(false);
    let ended = || given_up.load(Ordering::Relaxed) || (hold.stop)();
    let stop = || ended() || go.is_refused();
    let stopped = || CopyError::Stopped(source.to_owned());
    let (hashed, added) = thread::scope(|scope| {
        let adding = scope.spawn(|| {
            let added = if go.wait(&ended) {
                store.add_path(program, hold, source, name, None, &stop)
            } else {
                Err(stopped().into())
            };
            if added.is_err() {
                given_up.store(true, Ordering::Relaxed);
            }
            added
        });
        let hashed = copy::hash(source, Want::FlatAndNar, &stop)
            .map_err(StoreError::from)
            .and_then(|hashed| {
                let path = store.path_of(&hashed.sums.sha256, name)?;
                let is_valid = store.is_valid(hold, &path)?;
                Ok((hashed, path, is_valid))
            });
        // What the store has already need not be written; nor what has changed.
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
        // The one that stopped did so because of the other.
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

fn changed(source: &Path, what: &'static str) -> CopyError {
    CopyError::Changed {
        path: source.to_owned(),
        what,
    }
}
