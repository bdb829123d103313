//! Recovery: puts in order what runs left that did not reach their end. Knows nothing of the matrix,
//! and nothing of how what it did is shown.
//!
//! The caller holds the run lock: whatever belongs to a run of this state directory is then a dead
//! one's. First everything that still works is ended, then registrations are finished or rolled back,
//! then what lies about is removed. To recover twice does no harm, and neither does to be killed while
//! recovering: the journal is shortened last.

mod builds;
mod drives;
mod leftovers;
mod registrations;
mod report;

use jiff::Timestamp;

pub use crate::recovery::report::{Line, Report};

use crate::fs::lock::Holder;
use crate::settings::{Environment, Settings};
use crate::state::StateDir;
use crate::state::journal;
use crate::state::journal::{Entry, JournalError, Unfinished, unfinished};
use crate::store::choice::reopen;
use crate::store::{Backend, Store};
use crate::tools::Engine;

/// Where and how to recover.
pub struct Place<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The state directory, whose run lock is held.
    pub state: &'a StateDir,
    /// What programs are run with.
    pub environment: &'a Environment,
    /// The stores that journals may name.
    pub backends: &'a [&'static dyn Backend],
    /// The engine whose containers are looked through; none where none can be used.
    pub engine: Option<&'a Engine>,
    /// Our command line, for those who wait for our locks.
    pub command: &'a str,
    /// The time.
    pub now: Timestamp,
    /// Only say what would be done.
    pub dry_run: bool,
}

impl Place<'_> {
    fn holder(&self) -> Holder {
        Holder::this(self.command, self.now)
    }
}

/// What every run does at its start: what the journal says was left open, and what lies about in
/// directories that are quickly looked through. Without a run that died it starts no program.
///
/// # Errors
/// When the journal cannot be read or rewritten.
pub fn at_start(place: &Place<'_>) -> Result<Report, JournalError> {
    let mut report = Report::new(place.dry_run);
    let runs = unfinished(&journal::read(&place.state.journal())?);
    let any_died = !runs.is_empty();
    in_order(place, runs, any_died, &mut report)?;
    Ok(report)
}

/// Everything that can be found, whether or not the journal knows it. `store` is asked which entries
/// of the hashes file it has.
///
/// # Errors
/// As [`at_start`].
pub fn everything(place: &Place<'_>, store: Option<&Store>) -> Result<Report, JournalError> {
    let mut report = Report::new(place.dry_run);
    let runs = unfinished(&journal::read(&place.state.journal())?);
    in_order(place, runs, true, &mut report)?;
    if place.engine.is_none() {
        report.known("containers were not looked for: no container engine can be used");
    }
    leftovers::dangling(place, store, &mut report);
    leftovers::cache_locks(place, &mut report);
    Ok(report)
}

fn in_order(
    place: &Place<'_>,
    mut runs: Vec<Unfinished>,
    look_for_containers: bool,
    report: &mut Report,
) -> Result<(), JournalError> {
    builds::end_journalled(place, &mut runs, report);
    if look_for_containers {
        builds::end_labelled(place, report);
    }
    drives::bring_back(place, &mut runs, report);
    let names: Vec<String> = runs.iter().map(|run| run.run.clone()).collect();
    registrations::settle(place, &mut runs, report);
    for run in runs.iter_mut().filter(|run| !run.adding.is_empty()) {
        leftovers::end_writers(place, &run.run);
        run.adding.retain(
            |(variant, store, store_paths)| match reopen(place.backends, store) {
                Ok(store) => {
                    leftovers::half_added(variant, &store, store_paths, report);
                    false
                }
                Err(error) => {
                    report.failed(&error, error.hint());
                    true
                }
            },
        );
    }
    if look_for_containers {
        leftovers::unlock(place, report);
    }
    for run in &runs {
        leftovers::in_store(&run.run, &run.staging, report);
    }
    leftovers::remove(place, &names, report);
    // A journal without a run in it is one whose first entry was torn; it goes, too.
    if place.dry_run || !place.state.journal().exists() {
        return Ok(());
    }
    let left: Vec<Entry> = runs
        .iter()
        .filter(|run| run.holds_anything())
        .flat_map(Unfinished::entries)
        .collect();
    journal::rewrite(&place.state.journal(), &left)
}
