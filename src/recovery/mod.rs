//! Recovery: finishes or undoes the remains of killed runs. Does not know the matrix, and does not print.
//!
//! The caller holds the run lock, so every run in the journal of this state directory is dead. Recovery first ends
//! builds that still run, then finishes or rolls back registrations and interrupted steps, then removes leftovers.
//! Recovering twice is harmless, and so is a kill in the middle: the journal is shortened last.

mod builds;
mod drives;
mod interrupted_steps;
mod leftovers;
mod registrations;
mod report;

use jiff::Timestamp;

pub use crate::recovery::report::{RecoveryLine, RecoveryReport};

use crate::fs::lock::Holder;
use crate::settings::{Environment, Settings};
use crate::state::StateDir;
use crate::state::journal;
use crate::state::journal::{Entry, JournalError, Unfinished, unfinished};
use crate::steps::step::Step;
use crate::store::choice::reopen;
use crate::store::products::Product;
use crate::store::{Backend, Store};
use crate::tools::Engine;

/// The place of a recovery: its directories, tools and options.
pub struct RecoveryPlace<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The state directory, whose run lock is held.
    pub state: &'a StateDir,
    /// The environment of programs.
    pub environment: &'a Environment,
    /// The products whose half-written files may be left.
    pub products: &'a [&'static dyn Product],
    /// The stores that journals may name.
    pub backends: &'a [&'static dyn Backend],
    /// The engine whose containers may be left; `None` without a usable one.
    pub engine: Option<&'a Engine>,
    /// The command line, for processes that wait for a lock.
    pub command: &'a str,
    /// The steps, which recover what they announced in the journal.
    pub steps: &'a [&'static dyn Step],
    /// The time.
    pub now: Timestamp,
    /// Whether to change nothing and only report.
    pub dry_run: bool,
}

impl RecoveryPlace<'_> {
    fn holder(&self) -> Holder {
        Holder::this(self.command, self.now)
    }
}

/// The recovery at the start of every run: open entries of the journal, and leftovers in directories that are quickly
/// searched. Starts no program unless a run died.
///
/// # Errors
/// When the journal cannot be read or rewritten.
pub fn at_start(place: &RecoveryPlace<'_>) -> Result<RecoveryReport, JournalError> {
    let mut report = RecoveryReport::new(place.dry_run);
    let runs = unfinished(&journal::read(&place.state.journal())?);
    let any_died = !runs.is_empty();
    in_order(place, runs, any_died, &mut report)?;
    Ok(report)
}

/// The recovery of everything that can be found, in the journal or not. `store` decides which entries of the hashes
/// file dangle.
///
/// # Errors
/// As [`at_start`].
pub fn everything(
    place: &RecoveryPlace<'_>,
    store: Option<&Store>,
) -> Result<RecoveryReport, JournalError> {
    let mut report = RecoveryReport::new(place.dry_run);
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
    place: &RecoveryPlace<'_>,
    mut runs: Vec<Unfinished>,
    look_for_containers: bool,
    report: &mut RecoveryReport,
) -> Result<(), JournalError> {
    builds::end_journalled(place, &mut runs, report);
    if look_for_containers {
        builds::end_labelled(place, report);
    }
    drives::bring_back(place, &mut runs, report);
    let names: Vec<String> = runs.iter().map(|run| run.run.clone()).collect();
    registrations::settle(place, &mut runs, report);
    for run in &mut runs {
        interrupted_steps::recover(place, run, report);
    }
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
    // A journal without a run is one whose first entry was torn; it is removed, too.
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
