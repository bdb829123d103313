//! Room on the disks: a build starts only where what it is going to take is free, and what the builds
//! beside it are going to take is counted as taken.
//!
//! Knows nothing of what takes the room; paths and bytes are all it is told.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::exec::{StopLevel, StopSignal};
use crate::report::human;
use crate::tools::{file_system, free_space};

/// What something will take at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Where; it need not exist yet.
    pub path: PathBuf,
    /// How much, in bytes. Nothing still wants the margin there.
    pub bytes: u64,
}

/// A file system without enough room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} has {} free, and {} are needed{}",
    path.display(),
    human::bytes(*free),
    human::bytes(needed.saturating_add(*margin)),
    said(*margin, *promised)
)]
pub struct Lack {
    /// A place on it.
    pub path: PathBuf,
    /// What is free there.
    pub free: u64,
    /// What is needed.
    pub needed: u64,
    /// What is to stay free.
    pub margin: u64,
    /// What builds that run may still take.
    pub promised: u64,
}

fn said(margin: u64, promised: u64) -> String {
    let mut text = String::new();
    if margin > 0 {
        text += &format!(", {} of them to stay free", human::bytes(margin));
    }
    if promised > 0 {
        text += &format!("; builds that run may take {}", human::bytes(promised));
    }
    text
}

/// Why nothing was reserved.
#[derive(Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// There is not enough, and nobody runs who might give some back.
    Lack(Lack),
    /// The run was asked to stop meanwhile.
    Stopped,
}

/// What the builds of a run have been promised, by file system.
#[derive(Debug, Default)]
pub struct Room {
    promised: Mutex<BTreeMap<u64, u64>>,
    changed: Notify,
}

/// Room that is ours as long as this lives.
#[derive(Debug)]
pub struct Reservation {
    room: Arc<Room>,
    parts: Vec<(u64, u64)>,
}

impl Room {
    /// Reserves room on each file system concerned, of which `margin` bytes stay free. Where it is short
    /// and others hold room, waits until they have ended; `wait` is told once.
    ///
    /// # Errors
    /// When there is not enough, or the run is to stop.
    pub async fn reserve(
        self: &Arc<Self>,
        needs: &[Need],
        margin: u64,
        stop: &StopSignal,
        wait: impl FnOnce(&Lack),
    ) -> Result<Reservation, NoRoom> {
        let mut wait = Some(wait);
        let mut stop = stop.clone();
        loop {
            let changed = self.changed.notified();
            match self.attempt(needs, margin) {
                Ok(reservation) => return Ok(reservation),
                Err(lack) if lack.promised == 0 => return Err(NoRoom::Lack(lack)),
                Err(lack) => {
                    if let Some(wait) = wait.take() {
                        wait(&lack);
                    }
                }
            }
            tokio::select! {
                () = changed => {}
                // Others than we may give something back, too.
                () = tokio::time::sleep(Duration::from_secs(5)) => {}
                Ok(_) = stop.wait_for(|level| *level > StopLevel::Run) => return Err(NoRoom::Stopped),
            }
        }
    }

    /// Checks and takes in one step.
    fn attempt(self: &Arc<Self>, needs: &[Need], margin: u64) -> Result<Reservation, Lack> {
        let mut promised = self.lock();
        let mut parts: Vec<(u64, u64, &Path)> = Vec::new();
        for need in needs {
            // What cannot be told is no reason not to build.
            let Some(system) = file_system(&need.path) else {
                continue;
            };
            match parts.iter_mut().find(|part| part.0 == system) {
                Some(part) => part.1 = part.1.saturating_add(need.bytes),
                None => parts.push((system, need.bytes, &need.path)),
            }
        }
        for (system, needed, path) in &parts {
            let Ok(free) = free_space(path) else { continue };
            let taken = promised.get(system).copied().unwrap_or(0);
            if free < needed.saturating_add(margin).saturating_add(taken) {
                return Err(Lack {
                    path: path.to_path_buf(),
                    free,
                    needed: *needed,
                    margin,
                    promised: taken,
                });
            }
        }
        let parts: Vec<(u64, u64)> = parts
            .into_iter()
            .map(|(system, bytes, _)| (system, bytes))
            .collect();
        for (system, bytes) in &parts {
            *promised.entry(*system).or_default() += bytes;
        }
        drop(promised);
        Ok(Reservation {
            room: Arc::clone(self),
            parts,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut promised = self.room.lock();
        for (system, bytes) in &self.parts {
            if let Some(all) = promised.get_mut(system) {
                *all = all.saturating_sub(*bytes);
            }
        }
        drop(promised);
        self.room.changed.notify_waiters();
    }
}

/// What the files below a directory occupy, in bytes, as far as we may look. A file with several names
/// counts each time: this is an estimate.
#[must_use]
pub fn occupied(dir: &Path) -> u64 {
    let mut bytes: u64 = 0;
    let mut waiting = vec![dir.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            bytes = bytes.saturating_add(metadata.blocks().saturating_mul(512));
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    fn needs(dir: &Path, bytes: u64) -> [Need; 1] {
        [Need {
            path: dir.join("not/there/yet"),
            bytes,
        }]
    }

    #[tokio::test]
    async fn too_much_is_refused_and_says_how_much() {
        let dir = tempfile::tempdir().unwrap();
        let room = Arc::new(Room::default());
        let (_ask, stop) = watch::channel(StopLevel::Run);
        let needs = needs(dir.path(), 1 << 60);
        let Err(NoRoom::Lack(lack)) = room.reserve(&needs, 1 << 30, &stop, |_| {}).await else {
            panic!("there is no such disk")
        };
        assert_eq!((lack.needed, lack.promised), (1 << 60, 0));
        let text = lack.to_string();
        assert!(text.ends_with("1.0 GiB of them to stay free"), "{text}");
    }

    #[tokio::test]
    async fn what_is_promised_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let room = Arc::new(Room::default());
        let (ask, stop) = watch::channel(StopLevel::Run);
        let most = needs(dir.path(), free_space(dir.path()).unwrap() / 3 * 2);
        let first = room.reserve(&most, 0, &stop, |_| {}).await.unwrap();
        let second = tokio::spawn({
            let (room, most, stop) = (Arc::clone(&room), most.clone(), stop.clone());
            async move {
                let mut waited = false;
                let held = room.reserve(&most, 0, &stop, |_| waited = true).await;
                (held.is_ok(), waited)
            }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!second.is_finished());
        drop(first);
        assert_eq!(second.await.unwrap(), (true, true));
        assert!(room.lock().values().all(|bytes| *bytes == 0));

        let _held = room.reserve(&most, 0, &stop, |_| {}).await.unwrap();
        ask.send_replace(StopLevel::Graceful);
        let stopped = room.reserve(&most, 0, &stop, |_| {}).await;
        assert_eq!(stopped.err(), Some(NoRoom::Stopped));
    }
}
