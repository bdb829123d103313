//! Brings back the drives of Windows that dead runs left unmounted: what their journals say, and what the
//! ledger of this user says of runs elsewhere.

use super::Place;
use super::report::{Report, Verb};
use crate::state::journal::Unfinished;
use crate::tools::Host;
use crate::wsl::{self, Drive, Machine};

const MOUNT: Verb = Verb("mounted", "would mount");

/// What comes back is taken out of `runs`; what does not stays for the next time.
pub(super) fn bring_back(place: &Place<'_>, runs: &mut [Unfinished], report: &mut Report) {
    // Where there was none to unmount, there is none to bring back.
    for run in runs.iter_mut() {
        run.drives.retain(|(_, _, drives)| !drives.is_empty());
    }
    let host = Host::capture(place.environment);
    let machine = Machine::capture(&host);
    let known: Vec<(String, Drive)> = runs
        .iter()
        .flat_map(|run| &run.drives)
        .flat_map(|(_, boot, drives)| drives.iter().map(|drive| (boot.clone(), drive.clone())))
        .collect();
    let ledger = match wsl::peek(&machine.ledger) {
        Ok(ledger) => ledger,
        Err(error) => return report.failed(&error, error.hint()),
    };
    if known.is_empty() && ledger.is_none() {
        return;
    }
    if place.dry_run {
        let ours = known.iter().map(|(_, drive)| &drive.point);
        let theirs = ledger.iter().flat_map(|away| &away.drives);
        let mut points: Vec<_> = ours.chain(theirs.map(|drive| &drive.point)).collect();
        points.sort();
        points.dedup();
        for point in points {
            report.done(MOUNT, point.display());
        }
        return;
    }
    let machine = match machine.with_root(place.environment, host.uid) {
        Ok(machine) => machine,
        Err(error) => return report.failed(&error, Some(error.hint())),
    };
    match wsl::settle_dead(&machine, &known) {
        Ok(settled) => {
            for user in &settled.users {
                report.known(format!(
                    "drives of Windows stay unmounted for process {}, which makes an image ({})",
                    user.pid, user.build
                ));
            }
            for point in &settled.back.mounted {
                report.done(MOUNT, point.display());
            }
            for (message, hint) in settled.back.problems {
                report.failed(message, hint);
            }
            for run in runs {
                for (_, _, drives) in &mut run.drives {
                    drives.retain(|drive| settled.back.lost.contains(drive));
                }
                run.drives.retain(|(_, _, drives)| !drives.is_empty());
            }
        }
        Err(error) => report.failed(&error, error.hint()),
    }
}
