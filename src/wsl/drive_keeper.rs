//! The drive keeper: unmounts the drives for the first build that needs it, and mounts them again
//! after the last one, over all builds of this process and all processes of this user.
//!
//! A build that comes in between joins the lease and only proves again that the drives are gone.
//! Everything here blocks, for seconds while a drive is in use.

use std::sync::Arc;
use std::time::Duration;

use crate::wsl::drive::WindowsDrive;
use crate::wsl::host::WslHost;
use crate::wsl::ledger::{LeaseHolder, Ledger, LedgerError, UnmountedDrives, peek};
use crate::wsl::remount::RemountResult;
use crate::wsl::unmount::{UnmountDialog, UnmountError, UnmountPolicy};

/// Time that another process may hold the ledger's lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(300);

/// The same when a lease is dropped.
const DROP_PATIENCE: Duration = Duration::from_secs(60);

/// Records in the journal, synced, that these drives are about to be unmounted.
pub type RecordUnmount<'a> = dyn Fn(&[WindowsDrive]) -> Result<(), String> + Send + Sync + 'a;

/// A lease that was not granted.
pub struct LeaseError {
    /// The reason.
    pub error: UnmountError,
    /// The lease, if drives may be unmounted all the same. It must be released once nothing of the
    /// build can call `sync(2)` any more.
    pub lease: Option<UnmountLease>,
}

/// Unmounts drives for builds, and mounts them again.
#[derive(Clone)]
pub struct DriveKeeper {
    host: Arc<WslHost>,
    policy: UnmountPolicy,
}

/// While a lease exists, the drives stay unmounted. Dropping it without [`UnmountLease::release`]
/// releases it too.
pub struct UnmountLease {
    host: Arc<WslHost>,
    /// The entry in the ledger; none once released.
    holder: Option<LeaseHolder>,
    /// The drives that were unmounted for this lease; empty where they were unmounted already.
    pub unmounted: Vec<WindowsDrive>,
    /// All drives that were unmounted when the lease was granted, in case the ledger is lost.
    known: Vec<WindowsDrive>,
    /// Whether the watcher mounts the drives if the lease is dropped.
    is_left_to_watcher: bool,
}

impl DriveKeeper {
    /// A keeper for this host.
    #[must_use]
    pub fn new(host: Arc<WslHost>, policy: UnmountPolicy) -> DriveKeeper {
        DriveKeeper { host, policy }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &WslHost {
        &self.host
    }

    /// Unmounts the drives for `build`, or joins a lease that exists. On success `sync(2)` cannot
    /// wait for a Windows drive.
    ///
    /// # Errors
    /// When the drives could not be unmounted.
    pub fn lease(
        &self,
        build: &str,
        record: &RecordUnmount<'_>,
        dialog: &UnmountDialog<'_>,
    ) -> Result<UnmountLease, Box<LeaseError>> {
        let mut lease = UnmountLease {
            host: Arc::clone(&self.host),
            holder: None,
            unmounted: Vec::new(),
            known: Vec::new(),
            is_left_to_watcher: false,
        };
        match self.grant(build, record, dialog, &mut lease) {
            Ok(()) => Ok(lease),
            Err(error) => Err(Box::new(LeaseError {
                error,
                lease: lease.holder.is_some().then_some(lease),
            })),
        }
    }

    fn grant(
        &self,
        build: &str,
        record: &RecordUnmount<'_>,
        dialog: &UnmountDialog<'_>,
        lease: &mut UnmountLease,
    ) -> Result<(), UnmountError> {
        let host = &self.host;
        let ledger = Ledger::lock(&host.ledger, LOCK_PATIENCE, dialog.stopped)?;
        let boot = host.boot();
        let mut entry = ledger
            .read()?
            .filter(|entry| entry.boot == boot)
            .unwrap_or_default();
        entry.boot = boot;
        entry.users.retain(|user| user.is_alive(&host.proc));
        let mounted = host
            .drives()
            .map_err(|error| UnmountError::System(format!("the mounts cannot be read: {error}")))?;
        for (point, kind) in &mounted.others {
            let message = format!(
                "{} is a file system of type {kind} and not a Windows drive: it stays mounted, and a build that \
                 syncs waits for it",
                point.display()
            );
            (dialog.say)(message, None);
        }
        // A mounted drive is recorded as it is now, an unmounted one as it was before.
        entry
            .drives
            .retain(|drive| !mounted.drives.iter().any(|now| now.point == drive.point));
        entry.drives.extend(mounted.drives.iter().cloned());
        let holder = LeaseHolder::of_this_process(&host.proc, build);
        entry.users.retain(|other| *other != holder);
        entry.users.push(holder.clone());
        ledger.write(&entry)?;
        lease.holder = Some(holder);
        lease.known.clone_from(&entry.drives);
        record(&entry.drives).map_err(UnmountError::Journal)?;
        lease.unmounted = mounted.drives;
        host.unmount(&entry.drives, self.policy, dialog)
    }
}

impl UnmountLease {
    /// Releases the lease, and mounts the drives again unless another build needs them unmounted.
    ///
    /// # Errors
    /// When the ledger cannot be used. The lease stays and can be released later.
    pub fn release(&mut self) -> Result<RemountResult, LedgerError> {
        self.release_within(LOCK_PATIENCE)
    }

    /// Chooses what a drop does: with `true` the drives stay unmounted until the watcher has ended
    /// everything of the build and settles the ledger.
    pub fn leave_to_watcher(&mut self, is_left: bool) {
        self.is_left_to_watcher = is_left;
    }

    fn release_within(&mut self, patience: Duration) -> Result<RemountResult, LedgerError> {
        let Some(holder) = &self.holder else {
            return Ok(RemountResult::default());
        };
        let ledger = Ledger::lock(&self.host.ledger, patience, &|| false)?;
        let entry = self.entry_without(&ledger, holder)?;
        let result = settle(&ledger, &self.host, entry)?;
        self.holder = None;
        Ok(result)
    }

    /// Removes the holder from the ledger and mounts nothing.
    fn leave(&mut self) -> Result<(), LedgerError> {
        let Some(holder) = &self.holder else {
            return Ok(());
        };
        let ledger = Ledger::lock(&self.host.ledger, DROP_PATIENCE, &|| false)?;
        ledger.write(&self.entry_without(&ledger, holder)?)?;
        self.holder = None;
        Ok(())
    }

    /// The ledger's entry without this holder and without dead ones, and with the drives that this
    /// lease knows: the ledger may have been lost, and another process may have begun a new one.
    fn entry_without(
        &self,
        ledger: &Ledger,
        holder: &LeaseHolder,
    ) -> Result<UnmountedDrives, LedgerError> {
        let mut entry = ledger.read()?.unwrap_or_default();
        entry.boot = self.host.boot();
        let is_new =
            |drive: &WindowsDrive| !self.known.iter().any(|known| known.point == drive.point);
        let others: Vec<WindowsDrive> = entry
            .drives
            .iter()
            .filter(|drive| is_new(drive))
            .cloned()
            .collect();
        // The ledger's version of a drive is newer: it may have been mounted with other options
        // meanwhile.
        let mut drives: Vec<WindowsDrive> = self
            .known
            .iter()
            .map(|known| {
                let mut written = entry.drives.iter();
                written
                    .find(|drive| drive.point == known.point)
                    .unwrap_or(known)
                    .clone()
            })
            .collect();
        drives.extend(others);
        entry.drives = drives;
        entry
            .users
            .retain(|other| other != holder && other.is_alive(&self.host.proc));
        Ok(entry)
    }
}

impl Drop for UnmountLease {
    fn drop(&mut self) {
        // A drop has nowhere to report to. Ledger and journal still list the drives.
        if self.is_left_to_watcher {
            if let Err(error) = self.leave() {
                tracing::warn!(%error, "drives");
            }
            return;
        }
        if let Ok(result) = self.release_within(DROP_PATIENCE)
            && !result.problems.is_empty()
        {
            tracing::warn!(problems = ?result.problems, "drives");
        }
    }
}

/// Mounts the drives again if no build needs them unmounted.
fn settle(
    ledger: &Ledger,
    host: &WslHost,
    mut entry: UnmountedDrives,
) -> Result<RemountResult, LedgerError> {
    if !entry.users.is_empty() {
        ledger.write(&entry)?;
        return Ok(RemountResult::default());
    }
    let result = host.remount(&entry.drives);
    if result.missing.is_empty() {
        ledger.clear()?;
    } else {
        entry.drives.clone_from(&result.missing);
        ledger.write(&entry)?;
    }
    Ok(result)
}

/// The result of [`settle_dead`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettledLeases {
    /// The drives that were mounted again.
    pub remounted: RemountResult,
    /// The live builds that still need the drives unmounted.
    pub users: Vec<LeaseHolder>,
}

/// Mounts the drives that dead processes left unmounted: those in the ledger, and `known` ones from
/// a journal, each with its boot id. Does nothing while a live process needs them unmounted.
///
/// # Errors
/// When the ledger cannot be used.
pub fn settle_dead(
    host: &WslHost,
    known: &[(String, WindowsDrive)],
) -> Result<SettledLeases, LedgerError> {
    if known.is_empty() && peek(&host.ledger)?.is_none() {
        return Ok(SettledLeases::default());
    }
    let ledger = Ledger::lock(&host.ledger, LOCK_PATIENCE, &|| false)?;
    let boot = host.boot();
    // Entries of an earlier boot are void: WSL mounts all drives when it starts.
    let mut entry = ledger
        .read()?
        .filter(|entry| entry.boot == boot)
        .unwrap_or_default();
    entry.boot.clone_from(&boot);
    entry.users.retain(|user| user.is_alive(&host.proc));
    for (_, drive) in known.iter().filter(|(of, _)| *of == boot) {
        if !entry.drives.iter().any(|have| have.point == drive.point) {
            entry.drives.push(drive.clone());
        }
    }
    let users = entry.users.clone();
    if users.is_empty() && entry.drives.is_empty() {
        ledger.clear()?;
        return Ok(SettledLeases::default());
    }
    Ok(SettledLeases {
        remounted: settle(&ledger, host, entry)?,
        users,
    })
}
