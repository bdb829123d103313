//! `cache`: what lies in the caches, what is wrong with it, and what can go. And the caches of a run:
//! nobody removes anything from them while it lasts.

mod audit;
mod list;
mod prune;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::caches::{self, Cache, InUse, Purpose};
use crate::cli::{CacheCommand, Wait};
use crate::model::arch::Arch;
use crate::model::pattern::Pattern;
use crate::settings::Settings;
use crate::state::lock::{Holder, LockError};
use crate::state::use_lock::{Sharing, holders};

use super::context::Context;
use super::failure::{Failure, Kind};
use super::project::Project;

/// How long we wait for one who removes something from a cache, which takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the command prints, and its exit code.
///
/// # Errors
/// Faults of the settings, and what keeps us from looking.
pub fn run(context: &Context, command: &CacheCommand) -> Result<(String, u8), Failure> {
    match command {
        CacheCommand::List => list::run(context),
        CacheCommand::Audit => audit::run(context),
        CacheCommand::Prune(args) => prune::run(context, args),
    }
}

/// Takes the caches of a run into use: those of the architectures that are built, and the shared state.
///
/// # Errors
/// Where one is another architecture's, holds a program for another one, or is just being pruned.
pub fn enter(project: &Project, holder: &Holder, wait: &Wait) -> Result<InUse, Failure> {
    let settings = &project.settings;
    let archs: BTreeSet<Arch> = project.matrix.variants.iter().map(|v| v.arch).collect();
    let mut used: Vec<Cache> = archs
        .into_iter()
        .map(|arch| Cache {
            purpose: Purpose::Downloads(arch),
            path: settings.dl_dir.value.join(arch.as_str()),
        })
        .collect();
    used.push(Cache {
        purpose: Purpose::Sstate,
        path: settings.sstate_dir.value.clone(),
    });
    let patience = wait.limit().max(PATIENCE);
    caches::enter(&used, &foreign_downloads(settings), holder, patience)
        .map_err(|error| Failure::environment(&error).hint(error.hint()))
}

/// Removes the lock files of caches that dead runs left, or says which would be. They keep nobody out.
pub fn clear_locks(settings: &Settings, dry_run: bool) -> Vec<String> {
    let mut said = Vec::new();
    for cache in present(settings) {
        let path = cache.lock();
        if !path.exists() || !holders(&path).is_empty() {
            continue;
        }
        // Dropped, a lock that is held alone takes its file with it.
        if !dry_run
            && cache
                .hold(Sharing::Exclusive, &this(), Duration::ZERO)
                .is_err()
        {
            continue;
        }
        let verb = if dry_run { "would remove" } else { "removed" };
        said.push(format!(
            "{verb} the lock file {} of a run that is gone",
            path.display()
        ));
    }
    said
}

/// The globs of the setting, which were checked when it was read.
fn foreign_downloads(settings: &Settings) -> Vec<Pattern> {
    let globs = settings.foreign_downloads.value.iter();
    globs.filter_map(|glob| Pattern::new(glob).ok()).collect()
}

/// The settings alone: the caches can be looked at where variants.toml is none.
fn settings(context: &Context) -> Result<Settings, Failure> {
    let layers = context.layers(context.project_file()?)?;
    Settings::resolve(&layers).map_err(|error| {
        Failure::report(Kind::Configuration, error.render(context.colors_stderr()))
    })
}

fn present(settings: &Settings) -> Vec<Cache> {
    Cache::present(&settings.dl_dir.value, &settings.sstate_dir.value)
}

/// This process, as others are told.
fn this() -> Holder {
    Holder::this(&super::run::command_line(), Timestamp::now())
}

fn locked(error: &LockError) -> Failure {
    Failure::environment(error).hint(error.hint())
}

fn unreadable(error: &crate::files::PathError) -> Failure {
    Failure::environment(error).hint(error.hint())
}
