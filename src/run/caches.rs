//! The caches that a run uses, kept from a prune until the run ends.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::arch::Arch;
use crate::base::failure::Failure;
use crate::caches;
use crate::caches::{Cache, InUse, PRUNE_PATIENCE, Purpose, foreign_downloads};
use crate::fs::lock::Holder;
use crate::project::Project;

/// Locks the download cache of each architecture that is built, and the shared state cache; waits up to
/// `wait` (at least [`PRUNE_PATIENCE`]) for a prune.
///
/// # Errors
/// A cache that belongs to another architecture, holds a program for another one, or is being pruned.
pub(crate) fn enter(project: &Project, holder: &Holder, wait: Duration) -> Result<InUse, Failure> {
    let settings = &project.settings;
    let variants = &project.matrix.variants;
    let archs: BTreeSet<Arch> = variants.iter().map(|variant| variant.arch).collect();
    let downloads = archs.into_iter().map(|arch| Cache {
        purpose: Purpose::Downloads(arch),
        path: settings.dl_dir.value.join(arch.as_str()),
    });
    let shared_state = Cache {
        purpose: Purpose::Sstate,
        path: settings.sstate_dir.value.clone(),
    };
    let used: Vec<Cache> = downloads.chain([shared_state]).collect();
    let foreign = foreign_downloads(settings);
    caches::enter(&used, &foreign, holder, wait.max(PRUNE_PATIENCE))
        .map_err(|error| Failure::environment(&error).hint(error.hint()))
}
