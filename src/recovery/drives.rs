//! Mounts the Windows drives that dead runs left unmounted: those in the journal, and those that the ledger of this
//! user has for runs of other projects.

use crate::host::identity::Host;
use crate::recovery::RecoveryPlace;
use crate::recovery::report::{RecoveryReport, Verb};
use crate::state::journal::Unfinished;
use crate::wsl::drive_keeper::settle_dead;
use crate::wsl::ledger::peek;
use crate::wsl::{WindowsDrive, WslHost};

const MOUNT: Verb = Verb("mounted", "would mount");

/// Removes the drives that are mounted again from `runs`; others stay for the next start.
pub(super) fn bring_back(
    place: &RecoveryPlace<'_>,
    runs: &mut [Unfinished],
    report: &mut RecoveryReport,
) {
    // A build that found no drive to unmount has none to mount.
    for run in runs.iter_mut() {
        run.drives.retain(|(_, _, drives)| !drives.is_empty());
    }
    let host = Host::capture(place.environment);
    let wsl_host = WslHost::capture(&host);
    let known: Vec<(String, WindowsDrive)> = runs
        .iter()
        .flat_map(|run| &run.drives)
        .flat_map(|(_, boot, drives)| drives.iter().map(|drive| (boot.clone(), drive.clone())))
        .collect();
    let ledger = match peek(&wsl_host.ledger) {
        Ok(ledger) => ledger,
        Err(error) => return report.failed(&error, error.hint()),
    };
    if known.is_empty() && ledger.is_none() {
        return;
    }
    if place.dry_run {
        let ours = known.iter().map(|(_, drive)| &drive.point);
        let theirs = ledger.iter().flat_map(|unmounted| &unmounted.drives);
        let mut points: Vec<_> = ours.chain(theirs.map(|drive| &drive.point)).collect();
        points.sort();
        points.dedup();
        for point in points {
            report.done(MOUNT, point.display());
        }
        return;
    }
    let wsl_host = match wsl_host.with_root(place.environment, host.uid) {
        Ok(wsl_host) => wsl_host,
        Err(error) => return report.failed(&error, Some(error.hint())),
    };
    match settle_dead(&wsl_host, &known) {
        Ok(settled) => {
            for user in &settled.users {
                report.known(format!(
                    "Windows drives stay unmounted for process {}, which makes an image ({})",
                    user.pid, user.build
                ));
            }
            for point in &settled.remounted.mounted {
                report.done(MOUNT, point.display());
            }
            for (message, hint) in settled.remounted.problems {
                report.failed(message, hint);
            }
            for run in runs {
                for (_, _, drives) in &mut run.drives {
                    drives.retain(|drive| settled.remounted.missing.contains(drive));
                }
                run.drives.retain(|(_, _, drives)| !drives.is_empty());
            }
        }
        Err(error) => report.failed(&error, error.hint()),
    }
}
