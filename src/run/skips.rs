//! The skip decisions about the variants of a project: gathers records, settings and forced variants for the
//! judge of `inputs/`.
//!
//! The run asks twice: before any program is started, and again once the tools have been probed. Commands that
//! show what a run would do ask once.

use std::sync::Arc;

use jiff::Timestamp;

use crate::base::failure::Failure;
use crate::event::Clock;
use crate::inputs::cache;
use crate::inputs::listings::Listings;
use crate::inputs::observer::{InputObserver, ObservedProject};
use crate::inputs::proof::Proofs;
use crate::inputs::skip_decision::{JudgedVariant, SkipDecision, SkipJudge};
use crate::inputs::{Gatherer, HashCache, ToolIdentity};
use crate::plan::skip::Skips;
use crate::plan::{Plan, VariantIx};
use crate::project::Project;
use crate::project::context::Context;
use crate::run::forced::Forced;
use crate::state::StateDir;
use crate::state::records::Records;
use crate::store::choice::ChosenStore;
use crate::tools::Runner;

/// Decides which variants of a project are unchanged.
#[derive(Clone, Copy)]
pub(crate) struct ProjectJudge<'a> {
    context: &'a Context,
    project: &'a Project,
    forced: &'a Forced,
}

impl<'a> ProjectJudge<'a> {
    /// For a project and the variants that are built anyway.
    pub(crate) fn new(
        context: &'a Context,
        project: &'a Project,
        forced: &'a Forced,
    ) -> ProjectJudge<'a> {
        ProjectJudge {
            context,
            project,
            forced,
        }
    }

    /// Decides about every variant of the plan. Keeps the hashes that it computed.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub(crate) fn judge(
        self,
        plan: &Plan,
        records: &Records,
        now: Timestamp,
    ) -> Result<Vec<JudgedVariant>, Failure> {
        self.with_judge(records, now, |judge| {
            let variants = plan.variants.iter();
            variants
                .map(|variant| {
                    let forced = self.forced.builds(&variant.key);
                    judge.judge(variant, &self.project.kas, forced, false)
                })
                .collect()
        })
    }

    /// Lends a judge to `ask`, and keeps the hashes that it computed.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub(crate) fn with_judge<T>(
        self,
        records: &Records,
        now: Timestamp,
        ask: impl FnOnce(&mut SkipJudge<'_>) -> T,
    ) -> Result<T, Failure> {
        let settings = &self.project.settings;
        let mut cache = self.hash_cache();
        let mut gatherer = self.gatherer(&mut cache);
        // A program that cannot be read is reported where its content is gathered.
        let subject = gatherer.subject().ok();
        let recorded = records
            .for_decision(subject.as_deref())
            .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
        let proofs = Proofs::new(
            settings,
            &self.context.backends,
            self.context.arguments.run.verify,
        );
        let listings = Listings::at(state_dir(self.project).trees());
        let mut judge = SkipJudge::new(gatherer, recorded, proofs, listings, now);
        let answer = ask(&mut judge);
        // Stamps that are not recorded cost another read of their files.
        if let Err(error) = records.record_refreshed(&judge.finish()) {
            tracing::warn!("{error}");
        }
        Ok(answer)
    }

    /// Decides again after probing: an image whose id has not changed is no longer too old, and a variant that
    /// is registered in another store than the run's is not skipped. Returns the skips, and the observer that
    /// watches the inputs of the variants that are built.
    ///
    /// # Errors
    /// When the records cannot be read or written.
    pub(crate) fn rejudge(
        self,
        plan: &Plan,
        (runner, store): (&Runner, &ChosenStore),
        records: &Records,
        clock: &Clock,
    ) -> Result<(Arc<InputObserver>, Skips), Failure> {
        let (settings, environment) = (&self.project.settings, &self.context.environment);
        let tools = ToolIdentity::ask(runner, settings, environment);
        self.record_tools(records, &tools, clock())?;
        let judged = self.judge(plan, records, clock())?;
        let mut skips = skips(&judged);
        for (index, one) in judged.iter().enumerate() {
            let recorded = one.record.as_ref().map(|record| record.store_kind());
            if recorded != Some(store.kind()) {
                skips.remove(VariantIx(index));
            }
        }
        let observed = ObservedProject {
            directory: self.project.directory.clone(),
            settings: Arc::new(settings.clone()),
            environment: environment.clone(),
            runner: runner.clone(),
        };
        let listings = Listings::at(state_dir(self.project).trees());
        let observer = InputObserver::new(observed, tools, self.hash_cache(), listings);
        Ok((Arc::new(observer), skips))
    }

    /// Records the versions and the image that the tools have reported.
    fn record_tools(
        self,
        records: &Records,
        tools: &ToolIdentity,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mut cache = self.hash_cache();
        // A program that cannot be read has no key, and no variant is skipped on its record.
        let Ok(subject) = self.gatherer(&mut cache).subject() else {
            return Ok(());
        };
        records
            .record_tools(&subject, &tools.record(now))
            .map_err(|error| Failure::environment(&error).hint(error.hint()))
    }

    fn hash_cache(self) -> HashCache {
        HashCache::open(&state_dir(self.project).hashes(), cache::now)
    }

    fn gatherer<'c>(self, cache: &'c mut HashCache) -> Gatherer<'c>
    where
        'a: 'c,
    {
        let project = self.project;
        let environment = &self.context.environment;
        Gatherer::new(&project.directory, &project.settings, environment, cache)
    }
}

fn state_dir(project: &Project) -> StateDir {
    StateDir::at(project.settings.state_dir.value.clone())
}

/// The variants that are skipped.
pub(crate) fn skips(judged: &[JudgedVariant]) -> Skips {
    let mut skips = Skips::none();
    for (index, one) in judged.iter().enumerate() {
        if let SkipDecision::Skip(skip) = &one.decision {
            skips.insert(VariantIx(index), skip.clone());
        }
    }
    skips
}

/// Opens the records of a state directory, and creates them where there are none.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn open_records(state: &StateDir) -> Result<Records, Failure> {
    Records::open(&state.records()).map_err(|error| Failure::environment(&error).hint(error.hint()))
}

/// The records of a project; `None`, and nothing is created, where there are none.
///
/// # Errors
/// When they exist and cannot be read.
pub(crate) fn existing_records(project: &Project) -> Result<Option<Records>, Failure> {
    let state = state_dir(project);
    if !state.records().exists() {
        return Ok(None);
    }
    open_records(&state).map(Some)
}

/// The variants that a run would skip.
///
/// # Errors
/// When the records cannot be read.
pub(crate) fn would_skip(
    context: &Context,
    project: &Project,
    plan: &Plan,
) -> Result<Skips, Failure> {
    let Some(records) = existing_records(project)? else {
        return Ok(Skips::none());
    };
    let forced = Forced::of(context, project)?;
    let judge = ProjectJudge::new(context, project, &forced);
    Ok(skips(&judge.judge(plan, &records, Timestamp::now())?))
}
