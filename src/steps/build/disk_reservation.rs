//! Disk reservations: a build starts only where the space that it needs is free, and the needs of running builds
//! count as taken.
//!
//! Knows paths and bytes, not what they are for.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::event::numbers;
use crate::exec::{BlockingError, StopLevel, StopSignal, blocking};
use crate::host::disk_space::{file_system_id, free_space};

/// How often free space is looked at again while a build waits: other programs may free some too.
const RECHECK: Duration = Duration::from_secs(5);

/// Disk space that a build needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskNeed {
    /// A path on the file system; it need not exist yet.
    pub path: PathBuf,
    /// The need in bytes. With 0, only the margin has to be free.
    pub bytes: u64,
}

/// A file system with too little space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {} free; this build needs {}{}", path.display(), numbers::bytes(*free),
    numbers::bytes(needed.saturating_add(*margin)), parts(*needed, *margin, *reserved))]
pub struct DiskShortage {
    /// A path on it.
    pub path: PathBuf,
    /// The free space in bytes.
    pub free: u64,
    /// The build's need in bytes.
    pub needed: u64,
    /// The space that has to stay free, in bytes.
    pub margin: u64,
    /// The space that running builds have reserved, in bytes.
    pub reserved: u64,
}

fn parts(needed: u64, margin: u64, reserved: u64) -> String {
    let mut text = String::new();
    if margin > 0 {
        text += &format!(
            " ({} for the build, {} kept free)",
            numbers::bytes(needed),
            numbers::bytes(margin)
        );
    }
    if reserved > 0 {
        text += &format!(
            "; running builds have reserved {}",
            numbers::bytes(reserved)
        );
    }
    text
}

/// Why no space was reserved.
#[derive(Debug, PartialEq, Eq)]
pub enum NotReserved {
    /// There is too little, and no running build can free any.
    Shortage(DiskShortage),
    /// The run was stopped.
    Stopped,
}

/// The reserved bytes of a run, by file system.
#[derive(Debug, Default)]
pub struct DiskReservations {
    reserved: Mutex<BTreeMap<u64, u64>>,
    changed: Notify,
}

/// Space on some file systems, reserved until dropped.
#[derive(Debug)]
pub struct DiskReservation {
    reservations: Arc<DiskReservations>,
    /// File systems and bytes.
    parts: Vec<(u64, u64)>,
}

impl DiskReservations {
    /// Reserves space on each file system, of which `margin` bytes stay free. Waits while space is short and running
    /// builds hold reservations; `on_wait` is called once before.
    ///
    /// # Errors
    /// [`NotReserved`].
    pub async fn reserve(
        self: &Arc<Self>,
        needs: &[DiskNeed],
        margin: u64,
        stop: &StopSignal,
        on_wait: impl FnOnce(&DiskShortage),
    ) -> Result<DiskReservation, NotReserved> {
        let mut on_wait = Some(on_wait);
        let mut stop = stop.clone();
        loop {
            let changed = self.changed.notified();
            match self.attempt(needs, margin, &stop).await? {
                Ok(reservation) => return Ok(reservation),
                Err(shortage) if shortage.reserved == 0 => {
                    return Err(NotReserved::Shortage(shortage));
                }
                Err(shortage) => {
                    if let Some(on_wait) = on_wait.take() {
                        on_wait(&shortage);
                    }
                }
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(RECHECK) => {}
                Ok(_) = stop.wait_for(|level| *level > StopLevel::Run) => {
                    return Err(NotReserved::Stopped);
                }
            }
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        needs: &[DiskNeed],
        margin: u64,
        stop: &StopSignal,
    ) -> Result<Result<DiskReservation, DiskShortage>, NotReserved> {
        let (this, needs) = (Arc::clone(self), needs.to_vec());
        let attempt = move || this.try_reserve(&needs, margin);
        match blocking(stop, StopLevel::Graceful, attempt).await {
            Ok(attempted) => Ok(attempted),
            Err(BlockingError::Stopped | BlockingError::Panicked(_)) => Err(NotReserved::Stopped),
        }
    }

    /// Checks and reserves in one step. Blocking.
    fn try_reserve(
        self: Arc<Self>,
        needs: &[DiskNeed],
        margin: u64,
    ) -> Result<DiskReservation, DiskShortage> {
        let mut parts: Vec<(u64, u64, &Path)> = Vec::new();
        for need in needs {
            // An unknown file system is no reason not to build.
            let Some(system) = file_system_id(&need.path) else {
                continue;
            };
            match parts.iter_mut().find(|part| part.0 == system) {
                Some(part) => part.1 = part.1.saturating_add(need.bytes),
                None => parts.push((system, need.bytes, &need.path)),
            }
        }
        let mut reserved = self.lock();
        for (system, needed, path) in &parts {
            let Ok(free) = free_space(path) else { continue };
            let taken = reserved.get(system).copied().unwrap_or(0);
            if free < needed.saturating_add(margin).saturating_add(taken) {
                return Err(DiskShortage {
                    path: path.to_path_buf(),
                    free,
                    needed: *needed,
                    margin,
                    reserved: taken,
                });
            }
        }
        let parts: Vec<(u64, u64)> = parts
            .into_iter()
            .map(|(system, bytes, _)| (system, bytes))
            .collect();
        for (system, bytes) in &parts {
            *reserved.entry(*system).or_default() += bytes;
        }
        drop(reserved);
        Ok(DiskReservation {
            reservations: self,
            parts,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DiskReservation {
    fn drop(&mut self) {
        let mut reserved = self.reservations.lock();
        for (system, bytes) in &self.parts {
            if let Some(all) = reserved.get_mut(system) {
                *all = all.saturating_sub(*bytes);
            }
        }
        drop(reserved);
        self.reservations.changed.notify_waiters();
    }
}

/// The bytes that the files below a directory occupy, as far as they can be read. A file with several names counts
/// once for each name: this is an estimate. Blocking.
#[must_use]
pub fn occupied(dir: &Path) -> u64 {
    let mut bytes: u64 = 0;
    let mut pending = vec![dir.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            bytes = bytes.saturating_add(metadata.blocks().saturating_mul(512));
            if metadata.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    fn needs(dir: &Path, bytes: u64) -> [DiskNeed; 1] {
        [DiskNeed {
            path: dir.join("not/there/yet"),
            bytes,
        }]
    }

    #[tokio::test]
    async fn a_need_beyond_the_disk_is_refused_with_its_parts() {
        let dir = tempfile::tempdir().unwrap();
        let reservations = Arc::new(DiskReservations::default());
        let (_stopper, stop) = watch::channel(StopLevel::Run);
        let needs = needs(dir.path(), 1 << 60);

        let refused = reservations.reserve(&needs, 1 << 30, &stop, |_| {}).await;

        let Err(NotReserved::Shortage(shortage)) = refused else {
            panic!("there is no such disk")
        };
        assert_eq!((shortage.needed, shortage.reserved), (1 << 60, 0));
        let text = shortage.to_string();
        assert!(text.ends_with("1.0 GiB kept free)"), "{text}");
    }

    #[tokio::test]
    async fn a_build_waits_for_space_that_another_has_reserved() {
        let dir = tempfile::tempdir().unwrap();
        let reservations = Arc::new(DiskReservations::default());
        let (stopper, stop) = watch::channel(StopLevel::Run);
        let most = needs(dir.path(), free_space(dir.path()).unwrap() / 3 * 2);
        let first = reservations.reserve(&most, 0, &stop, |_| {}).await.unwrap();
        let second = tokio::spawn({
            let (reservations, most, stop) =
                (Arc::clone(&reservations), most.clone(), stop.clone());
            async move {
                let mut waited = false;
                let held = reservations
                    .reserve(&most, 0, &stop, |_| waited = true)
                    .await;
                (held.is_ok(), waited)
            }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!second.is_finished());

        drop(first);

        assert_eq!(second.await.unwrap(), (true, true));
        assert!(reservations.lock().values().all(|bytes| *bytes == 0));

        let _held = reservations.reserve(&most, 0, &stop, |_| {}).await.unwrap();
        stopper.send_replace(StopLevel::Graceful);
        let stopped = reservations.reserve(&most, 0, &stop, |_| {}).await;
        assert_eq!(stopped.err(), Some(NotReserved::Stopped));
    }
}
