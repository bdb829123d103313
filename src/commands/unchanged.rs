//! Which of the planned variants are unchanged and need no build, for the run and for the commands that
//! say what a run would do. Starts no process.

use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;

use super::context::Context;
use super::failure::Failure;
use super::keys::{self, Keys, told};
use super::project::Project;
use crate::inputs::cache::Moment;
use crate::inputs::listing::Listings;
use crate::inputs::{Gatherer, HashCache, Tools};
use crate::model::matrix::VariantKey;
use crate::model::plan::{Plan, VariantIx};
use crate::model::select::{Index, VariantGlob};
use crate::model::skip::Skips;
use crate::report::Clock;
use crate::skipping::proof::Proofs;
use crate::skipping::{Judge, Judged, Verdict};
use crate::state::StateDir;
use crate::state::records::Records;
use crate::tools::{self, Runner};

/// The time as the cache of hashes counts it.
pub(super) fn moment() -> Moment {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or((0, 0), |since| {
            let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            (seconds, since.subsec_nanos().into())
        })
}

/// The words of the command line that have a variant built whatever is known of it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    globs: Vec<VariantGlob>,
    all: bool,
}

impl Asked {
    /// Those of this command line.
    ///
    /// # Errors
    /// A glob that is none, or that names no selected variant.
    pub(super) fn of(context: &Context, project: &Project) -> Result<Asked, Failure> {
        let run = &context.cli.run;
        let keys: Vec<&VariantKey> = project.matrix.variants.iter().map(|one| &one.key).collect();
        let mut globs = Vec::new();
        for word in run.rebuild.iter().filter(|word| *word != "*/*") {
            let wrong = |why: String, hint: Option<String>| {
                Failure::new(super::failure::Kind::Configuration, why).hint(hint)
            };
            let glob = VariantGlob::new(word)
                .map_err(|why| wrong(format!("`--rebuild={word}` is not a glob: {why}"), None))?;
            let index = Index::new(keys.iter().copied());
            if index.find(&glob).is_empty() {
                let why = format!("`--rebuild={word}` names none of the selected variants");
                return Err(wrong(why, Some(index.hint(word))));
            }
            globs.push(glob);
        }
        Ok(Asked {
            globs,
            all: run.rebuild.iter().any(|word| word == "*/*"),
        })
    }

    /// Whether a variant is to be built again from nothing.
    pub(super) fn rebuilds(&self, key: &VariantKey) -> bool {
        self.all || self.globs.iter().any(|glob| glob.matches(key))
    }

    /// Whether nothing can be skipped.
    pub(super) fn everything(&self, context: &Context) -> bool {
        self.all || context.cli.run.no_skip
    }
}

/// What is known of the variants of a plan. Kept are the hashes that it took.
///
/// # Errors
/// When records cannot be read.
pub(super) fn judge(
    context: &Context,
    project: &Project,
    plan: &Plan,
    records: &Records,
    asked: &Asked,
    now: Timestamp,
) -> Result<Vec<Judged>, Failure> {
    let mut cache = open_cache(project);
    with_judge(context, project, records, &mut cache, now, |judge| {
        plan.variants
            .iter()
            .map(|variant| {
                let built = context.cli.run.no_skip || asked.rebuilds(&variant.key);
                judge.judge(variant, &project.kas, built, false)
            })
            .collect()
    })
}

/// The remembered hashes of a project.
pub(super) fn open_cache(project: &Project) -> HashCache {
    HashCache::open(&state(project).hashes(), moment)
}

fn state(project: &Project) -> StateDir {
    StateDir::at(project.settings.state_dir.value.clone())
}

/// Lends a judge, and keeps the hashes that it took.
///
/// # Errors
/// When records cannot be read.
pub(super) fn with_judge<T>(
    context: &Context,
    project: &Project,
    records: &Records,
    cache: &mut HashCache,
    now: Timestamp,
    ask: impl FnOnce(&mut Judge<'_>) -> T,
) -> Result<T, Failure> {
    let settings = &project.settings;
    let gatherer = Gatherer::new(&project.directory, settings, &context.environment, cache);
    let proofs = Proofs::new(settings, context.cli.run.verify);
    let listings = Listings::at(state(project).trees());
    let mut judge = Judge::new(settings, gatherer, records, proofs, listings, now)
        .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
    let answer = ask(&mut judge);
    // Without them the next look costs what this one did.
    if let Err(error) = judge.save() {
        tracing::warn!("{error}");
    }
    Ok(answer)
}

/// Records what the programs said of themselves just now.
///
/// # Errors
/// When records cannot be written.
pub(super) fn record_tools(
    context: &Context,
    project: &Project,
    records: &Records,
    tools: &Tools,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut cache = open_cache(project);
    let settings = &project.settings;
    let environment = &context.environment;
    let mut gatherer = Gatherer::new(&project.directory, settings, environment, &mut cache);
    // A program that cannot be read has no key, and nothing is skipped for it.
    let Ok(subject) = gatherer.subject() else {
        return Ok(());
    };
    records
        .record_tools(&subject, &told(tools, now))
        .map_err(|error| Failure::environment(&error).hint(error.hint()))
}

/// Decides what is skipped once more, now that the programs have been asked: an image that is what it was
/// is no longer too old, and another store than that of the records is no place to skip for.
#[expect(clippy::too_many_arguments, reason = "it stands between all of them")]
pub(super) fn look_closer(
    context: &Context,
    project: &Project,
    plan: &Plan,
    runner: &Runner,
    store: &tools::Store,
    records: &Arc<Records>,
    asked: &Asked,
    clock: &Clock,
) -> Result<(Arc<Keys>, Skips), Failure> {
    let (settings, environment) = (&project.settings, &context.environment);
    let tools = keys::ask(runner, settings, environment);
    record_tools(context, project, records, &tools, clock())?;
    let keys = Keys::new(
        project.directory.clone(),
        Arc::new(settings.clone()),
        environment.clone(),
        runner.clone(),
        Arc::clone(records),
        Arc::clone(clock),
        tools,
    );
    let judged = judge(context, project, plan, records, asked, clock())?;
    let mut skips = skips(&judged);
    for (index, one) in judged.iter().enumerate() {
        let in_store = one
            .record
            .as_ref()
            .is_some_and(|record| record.kind() == store.kind());
        if !in_store {
            skips.remove(VariantIx(index));
        }
    }
    Ok((Arc::new(keys), skips))
}

/// The variants that are skipped.
pub(super) fn skips(judged: &[Judged]) -> Skips {
    let mut skips = Skips::none();
    for (index, one) in judged.iter().enumerate() {
        if let Verdict::Skip(skip) = &one.verdict {
            skips.insert(VariantIx(index), skip.clone());
        }
    }
    skips
}

/// The records of a project, where there are some; nothing is made.
///
/// # Errors
/// When they are there and cannot be read.
pub(super) fn records(project: &Project) -> Result<Option<Records>, Failure> {
    let path = state(project).records();
    if !path.exists() {
        return Ok(None);
    }
    Records::open(&path)
        .map(Some)
        .map_err(|error| Failure::environment(&error).hint(error.hint()))
}

/// What a run would skip, for those who only tell.
///
/// # Errors
/// When records cannot be read.
pub(super) fn would_skip(
    context: &Context,
    project: &Project,
    plan: &Plan,
) -> Result<Skips, Failure> {
    let Some(records) = records(project)? else {
        return Ok(Skips::none());
    };
    let asked = Asked::of(context, project)?;
    let judged = judge(context, project, plan, &records, &asked, Timestamp::now())?;
    Ok(skips(&judged))
}
