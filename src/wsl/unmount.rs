//! Unmounts drives and proves that their superblocks are gone.
//!
//! Everything that can touch a drive is done by a child with a time limit. The caller has locked the ledger and
//! recorded the unmount there and in the journal.

use std::time::{Duration, Instant};

use crate::settings::{DriveUsers, UnmountMode};
use crate::wsl::call::Called;
use crate::wsl::drive::WindowsDrive;
use crate::wsl::drive_users::{DriveUser, ProcessScan};
use crate::wsl::host::WslHost;
use crate::wsl::ledger::LedgerError;
use crate::wsl::superblocks::{LiveSuperblock, live_superblocks};

/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(300);

/// Grace period for retries even under `fail` and `ask`: most users of a drive are transient, and
/// most syncs under way end.
const GRACE_PERIOD: Duration = Duration::from_secs(2);

/// Time that the kernel may take to remove the superblock of an unmounted drive.
const SUPERBLOCK_LIMIT: Duration = Duration::from_secs(5);

/// The settings for unmounting.
#[derive(Debug, Clone, Copy)]
pub struct UnmountPolicy {
    /// How a drive is unmounted.
    pub unmount: UnmountMode,
    /// The reaction to a drive that is in use.
    pub holders: DriveUsers,
    /// How long users of a drive are waited for.
    pub patience: Duration,
}

/// Asks the user whether to try again, given what is in the way. Gives up when the function that is
/// passed in returns true, because the run is to stop.
pub type AskRetry = dyn Fn(&str, &dyn Fn() -> bool) -> bool + Send + Sync;

/// The connection to the user and the run while drives are unmounted.
pub struct UnmountDialog<'a> {
    /// Emits a message with a hint.
    pub say: &'a dyn Fn(String, Option<String>),
    /// Asks whether to try again; none without a terminal.
    pub ask: Option<&'a AskRetry>,
    /// Returns whether the run is to stop.
    pub stopped: &'a dyn Fn() -> bool,
}

/// Why drives could not be unmounted.
#[derive(Debug, thiserror::Error)]
pub enum UnmountError {
    /// A drive is in use, or its superblock still exists.
    #[error("the Windows drives cannot be unmounted: {}", .0.join("; "))]
    InUse(Vec<String>),
    /// The run was stopped.
    #[error("the run was stopped")]
    Stopped,
    /// Mounts or processes cannot be read, or a program fails.
    #[error("the Windows drives cannot be unmounted: {0}")]
    System(String),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The journal cannot be written.
    #[error("the Windows drives are not unmounted: {0}")]
    Journal(String),
}

impl UnmountError {
    /// A remedy, as a command where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            UnmountError::InUse(_) => Some(
                "end the named processes, leave the drive's directories in every shell, and close other WSL \
                 distributions (in Windows: wsl.exe --list --running, wsl.exe --terminate NAME); or set \
                 `wsl.sync-guard = \"seccomp\"`"
                    .to_owned(),
            ),
            UnmountError::System(_) => {
                Some("isar-build-all doctor; or set `wsl.sync-guard = \"seccomp\"`".to_owned())
            }
            UnmountError::Ledger(error) => error.hint(),
            UnmountError::Stopped | UnmountError::Journal(_) => None,
        }
    }
}

impl WslHost {
    /// Unmounts `drives` and proves that their superblocks are gone.
    ///
    /// # Errors
    /// When the proof fails. Some drives may be unmounted then, and must be mounted again.
    pub(super) fn unmount(
        &self,
        drives: &[WindowsDrive],
        policy: UnmountPolicy,
        dialog: &UnmountDialog<'_>,
    ) -> Result<(), UnmountError> {
        let begin = Instant::now();
        let mut announced = Vec::new();
        loop {
            let in_the_way = self.try_unmount(drives, policy.unmount, dialog)?;
            if in_the_way.is_empty() {
                return Ok(());
            }
            if (dialog.stopped)() {
                return Err(UnmountError::Stopped);
            }
            match (policy.holders, dialog.ask) {
                (DriveUsers::Fail | DriveUsers::Ask, _) if begin.elapsed() < GRACE_PERIOD => {
                    std::thread::sleep(PAUSE);
                }
                (DriveUsers::Fail, _) | (DriveUsers::Ask, None) => {
                    return Err(UnmountError::InUse(in_the_way));
                }
                (DriveUsers::Ask, Some(ask)) => {
                    if !ask(&in_the_way.join("; "), dialog.stopped) {
                        return Err(UnmountError::InUse(in_the_way));
                    }
                }
                (DriveUsers::Wait, _) => {
                    if begin.elapsed() >= policy.patience {
                        return Err(UnmountError::InUse(in_the_way));
                    }
                    if announced != in_the_way {
                        let seconds = policy.patience.as_secs();
                        (dialog.say)(
                            format!(
                                "waits up to {seconds} s for the Windows drives: {}",
                                in_the_way.join("; ")
                            ),
                            Some(
                                "end these processes, or leave the drive's directories".to_owned(),
                            ),
                        );
                        announced = in_the_way;
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Tries once; returns what is in the way. Drives that are already unmounted are skipped.
    fn try_unmount(
        &self,
        drives: &[WindowsDrive],
        how: UnmountMode,
        dialog: &UnmountDialog<'_>,
    ) -> Result<Vec<String>, UnmountError> {
        let mounted = self.drives().map_err(cannot_read)?;
        let mut in_the_way: Vec<String> = mounted
            .inside
            .iter()
            .map(|(point, kind)| format!("{kind} is mounted in a drive, at {}", point.display()))
            .collect();
        // umount(2) would wait for a sync that is under way, perhaps for ever.
        let scan = self.scan(&mounted.drives)?;
        in_the_way.extend(
            scan.syncing
                .iter()
                .map(|process| format!("{process}: sync(2) is under way already")),
        );
        if !in_the_way.is_empty() {
            return Ok(in_the_way);
        }
        if how == UnmountMode::Lazy && !scan.users.is_empty() {
            // After a lazy unmount the users can no longer be found.
            let users: Vec<String> = scan.users.iter().map(DriveUser::to_string).collect();
            let message = format!("unmounts drives that are in use: {}", users.join("; "));
            (dialog.say)(message, None);
        }
        let mut refused = false;
        // A drive that is mounted inside another one comes later in mount order.
        for drive in mounted.drives.iter().rev() {
            if !drives.iter().any(|wanted| wanted.point == drive.point) {
                in_the_way.push(format!("{} was mounted meanwhile", drive.point.display()));
                continue;
            }
            match self.umount(&drive.point, how == UnmountMode::Lazy) {
                called if called.is_ok() => {}
                Called::Hangs => in_the_way.push(format!(
                    "umount {} hangs: Windows does not answer (FM-6); only `wsl.exe --shutdown` in Windows helps",
                    drive.point.display()
                )),
                called => {
                    refused = true;
                    in_the_way.push(format!("{}: {}", drive.point.display(), called.why()));
                }
            }
        }
        if refused {
            let scan = self.scan(&mounted.drives)?;
            in_the_way.extend(scan.users.iter().map(DriveUser::to_string));
        }
        if !in_the_way.is_empty() {
            return Ok(in_the_way);
        }
        self.prove_unmounted(drives)
    }

    /// Proves that the superblocks of `drives` are gone; returns those that still exist, and their
    /// users as far as they can be found.
    fn prove_unmounted(&self, drives: &[WindowsDrive]) -> Result<Vec<String>, UnmountError> {
        let begin = Instant::now();
        loop {
            let scan = self.scan(drives)?;
            let live = live_superblocks(&self.bdi, &scan, drives).map_err(|error| {
                UnmountError::System(format!("{} cannot be read: {error}", self.bdi.display()))
            })?;
            if live.is_empty() {
                return Ok(Vec::new());
            }
            if begin.elapsed() >= SUPERBLOCK_LIMIT {
                let mut found: Vec<String> = live.iter().map(LiveSuperblock::to_string).collect();
                found.extend(scan.users.iter().map(DriveUser::to_string));
                let has_no_mount =
                    |live: &LiveSuperblock| matches!(live, LiveSuperblock::WithoutMount(_));
                if live.iter().any(has_no_mount) && scan.users.is_empty() {
                    found.push(
                        "its user may be in another WSL distribution, or still use a drive that was unmounted lazily"
                            .to_owned(),
                    );
                }
                return Ok(found);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Scans all processes for users of these drives.
    fn scan(&self, drives: &[WindowsDrive]) -> Result<ProcessScan, UnmountError> {
        let mut devices: Vec<String> = drives.iter().map(|drive| drive.device.clone()).collect();
        devices.dedup();
        let called = self.scan_processes(&devices);
        let cannot =
            |why: String| UnmountError::System(format!("processes cannot be inspected: {why}"));
        match &called {
            Called::Ended {
                code: 0, stdout, ..
            } => serde_json::from_str(stdout).map_err(|error| cannot(error.to_string())),
            other => Err(cannot(other.why())),
        }
    }
}

fn cannot_read(error: std::io::Error) -> UnmountError {
    UnmountError::System(format!("the mounts cannot be read: {error}"))
}
