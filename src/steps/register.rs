//! Register: puts what was captured into the store and writes its hashes. Needs the handover; leaves
//! valid store paths, output entries that point to them, the hashes file and a record.
//!
//! The order keeps every instant safe: all files into the store, which changes nothing that was there;
//! then, under the lock of the hashes file, the new text is made and with it everything that can be
//! refused is known; then the output entries turn to the new paths; then the file is replaced. When
//! one of these fails, the entries are turned back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::capture::{artifact_event, blocking, clear_staging, fail, killed, of_store, output_dir};
use super::{StepContext, StepResult};
use crate::files::{PathError, create_dir, remove, with_suffix};
use crate::model::hashes::VariantHashes;
use crate::report::Clock;
use crate::state::lock::Holder;
use crate::state::records::{Records, Registered};
use crate::store::hashes_file::{HashesFile, WAIT};
use crate::store::{Added, Captured, Hold, Store};

/// What registrations of a run share.
#[derive(Clone)]
pub struct Registry {
    /// The store.
    pub store: Arc<Store>,
    /// The records.
    pub records: Arc<Records>,
    /// The time.
    pub clock: Clock,
    /// This run's command line, for those who wait for our locks.
    pub command: String,
}

/// Registers what was captured of the variant, all of it or nothing.
pub async fn register(ctx: &StepContext, registry: &Registry) -> StepResult {
    let (ctx, registry) = (ctx.clone(), registry.clone());
    match blocking(move || register_all(&ctx, &registry)).await {
        Ok(Ok(())) => StepResult::succeeded(),
        Ok(Err(failure)) | Err(failure) => failure,
    }
}

fn register_all(ctx: &StepContext, registry: &Registry) -> Result<(), StepResult> {
    let captured = ctx.handover.take(&ctx.variant.key);
    if captured.is_empty() {
        return if ctx
            .variant
            .artifacts
            .iter()
            .all(|artifact| artifact.optional)
        {
            Ok(())
        } else {
            Err(StepResult::failed("nothing was captured"))
        };
    }
    let registered = register_captured(ctx, registry, &captured);
    // Also where it failed: the deployed files are still there to be taken again, and a full disk is
    // no place to keep copies.
    clear_staging(ctx, &captured);
    for (one, added) in captured.iter().zip(registered?) {
        ctx.events
            .emit(artifact_event(ctx, one, Some(&added.store_path), added.how));
    }
    Ok(())
}

fn register_captured(
    ctx: &StepContext,
    registry: &Registry,
    captured: &[Captured],
) -> Result<Vec<Added>, StepResult> {
    let store = &registry.store;
    let hold = store.hold_until(killed(ctx)).map_err(of_store)?;
    let mut added = Vec::with_capacity(captured.len());
    for one in captured {
        added.push(store.insert(&hold, one).map_err(of_store)?);
    }

    let of_file = |error: crate::store::hashes_file::HashesFileError| fail(&error, error.hint());
    let holder = Holder::this(&registry.command, (registry.clock)());
    let file = HashesFile::lock(&ctx.settings.hashes_file.value, &holder, WAIT).map_err(of_file)?;
    let replacement = file.with(&[hashes_of(ctx, captured)]).map_err(of_file)?;
    let dir = output_dir(ctx);
    create_dir(&dir).map_err(|error| fail(&error, error.hint()))?;
    let mut turned = Turned::new(store, &hold);
    for (one, added) in captured.iter().zip(&added) {
        turned
            .turn(&dir.join(&one.unique_name), added)
            .map_err(of_store)?;
    }
    file.write(&replacement).map_err(of_file)?;
    turned.keep();
    drop(file);
    drop(hold);

    record(ctx, registry, captured, &added);
    Ok(added)
}

fn hashes_of(ctx: &StepContext, captured: &[Captured]) -> VariantHashes {
    VariantHashes {
        key: ctx.variant.key.clone(),
        names: ctx
            .variant
            .artifacts
            .iter()
            .map(|artifact| artifact.unique_name.clone())
            .collect(),
        entries: captured
            .iter()
            .map(|one| (one.unique_name.clone(), one.sha256))
            .collect(),
    }
}

/// Store and hashes are right at this point, so what is missing here costs a rebuild at most.
fn record(ctx: &StepContext, registry: &Registry, captured: &[Captured], added: &[Added]) {
    let registered: Vec<Registered<'_>> = captured
        .iter()
        .zip(added)
        .map(|(captured, added)| Registered {
            captured,
            store_path: &added.store_path,
        })
        .collect();
    let recorded = registry.records.record_registered(
        &ctx.run,
        &ctx.variant.key,
        &registered,
        (registry.clock)(),
    );
    if let Err(error) = recorded {
        let message = format!("registered, but not recorded: {error}");
        ctx.events.warn(Some(&ctx.node), message, error.hint());
    }
}

/// Output entries that were turned to new store paths, and what they were before.
struct Turned<'a> {
    store: &'a Store,
    hold: &'a Hold,
    before: Vec<(PathBuf, Before)>,
}

/// What stood in an output entry's place.
enum Before {
    Nothing,
    /// A link, and where it pointed.
    Link(PathBuf),
    /// A file, and its second name.
    File(PathBuf),
}

impl Before {
    fn of(link: &Path) -> Result<Before, PathError> {
        match link.symlink_metadata() {
            Ok(there) if there.is_symlink() => fs::read_link(link)
                .map(Before::Link)
                .map_err(PathError::on("read", link)),
            Ok(there) if there.is_file() => {
                let kept = with_suffix(link, ".before.part");
                remove(&kept)?;
                fs::hard_link(link, &kept).map_err(PathError::on("keep", link))?;
                Ok(Before::File(kept))
            }
            // What else there may be is not replaced.
            _ => Ok(Before::Nothing),
        }
    }
}

impl<'a> Turned<'a> {
    fn new(store: &'a Store, hold: &'a Hold) -> Turned<'a> {
        Turned {
            store,
            hold,
            before: Vec::new(),
        }
    }

    fn turn(&mut self, link: &Path, added: &Added) -> Result<(), crate::store::StoreError> {
        let before = Before::of(link)?;
        let linked = self.store.link(self.hold, added, link);
        if linked.is_ok() {
            self.before.push((link.to_owned(), before));
        } else if let Before::File(kept) = before {
            // What was at `link` is there still, and the error to tell is the other.
            let _ = remove(&kept);
        }
        linked
    }

    /// They stay as they are now.
    fn keep(mut self) {
        for (_, before) in self.before.drain(..) {
            if let Before::File(kept) = before {
                // A second name that stays does no harm.
                let _ = remove(&kept);
            }
        }
    }
}

impl Drop for Turned<'_> {
    fn drop(&mut self) {
        for (link, before) in self.before.drain(..) {
            // This runs because something else failed, and that is what is told.
            let _ = match before {
                Before::Link(target) => self.store.turn_back(self.hold, &target, &link),
                Before::File(kept) => fs::rename(&kept, &link)
                    .map_err(|error| PathError::on("put back", &link)(error).into()),
                Before::Nothing => remove(&link).map_err(Into::into),
            };
        }
    }
}
