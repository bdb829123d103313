//! One transaction over the output entries and hashes of a variant, or of several. Knows nothing of how
//! their files came into the store.
//!
//! Under the lock of the hashes file the new text is made, and with it everything that can be refused
//! is known; the journal gets the intent; then the output entries turn to the new paths; then the file
//! is replaced, which is the instant at which the transaction holds. When something fails before it,
//! the entries are turned back. A death at any instant leaves what [`crate::recovery`] finishes or
//! takes back by the same rule.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Registry;
use super::remember::remember;
use crate::files::{PathError, create_dir};
use crate::model::event::EventKind;
use crate::model::hashes::{VariantHashes, parse};
use crate::model::matrix::VariantKey;
use crate::model::nix32;
use crate::report::EventSink;
use crate::state::journal::{
    Entry, IntendedArtifact, IntendedVariant, Journal, Registration, StorePlace,
};
use crate::state::lock::{Holder, LockError};
use crate::state::records::{Records, Registered};
use crate::steps::capture::{fail, of_store};
use crate::steps::compress::{self, Ready};
use crate::steps::{StepContext, StepResult, content};
use crate::store::entries::{self, Before};
use crate::store::hashes_file::{HashesFile, HashesFileError, WAIT, read_text};
use crate::store::{Added, Captured, Hold};

/// A variant whose files are in the store and whose entries wait to be changed.
pub struct Prepared {
    pub(super) ctx: StepContext,
    pub(super) key: VariantKey,
    pub(super) names: Vec<String>,
    /// The node that registers it.
    pub(super) node: String,
    /// Where its output entries are.
    pub(super) output_dir: PathBuf,
    pub(super) artifacts: Vec<(Captured, Added)>,
    /// What was made of them, and goes to its place when they are registered.
    pub(super) products: Vec<Ready>,
    /// What is told once they are registered.
    pub(super) events: Vec<EventKind>,
    pub(super) hold: Arc<Hold>,
}

impl Prepared {
    fn hashes(&self) -> VariantHashes {
        let entries: Vec<(String, [u8; 32])> = self
            .artifacts
            .iter()
            .map(|(captured, _)| (captured.unique_name.clone(), captured.sha256))
            .collect();
        VariantHashes {
            key: self.key.clone(),
            gone: without(&self.names, &entries),
            names: self.names.clone(),
            entries,
        }
    }

    /// With everything that is registered, the other variants of this transaction included.
    fn compare(&self, records: &Records, text: &str) -> content::Compared {
        let captured: Vec<Captured> = self.artifacts.iter().map(|(one, _)| one.clone()).collect();
        content::compare(&self.ctx, records, &captured, text)
    }

    fn link(&self, captured: &Captured) -> PathBuf {
        self.output_dir.join(&captured.unique_name)
    }
}

/// The names that have no entry.
pub(crate) fn without(names: &[String], entries: &[(String, [u8; 32])]) -> Vec<String> {
    let has = |name: &String| entries.iter().any(|(entry, _)| entry == name);
    names.iter().filter(|name| !has(name)).cloned().collect()
}

/// What a transaction works on.
pub(super) struct Transaction<'a> {
    pub(super) run: &'a str,
    pub(super) hashes_file: &'a Path,
    pub(super) registry: &'a Registry,
    pub(super) journal: &'a Journal,
    pub(super) events: &'a EventSink,
    /// Whether to give up waiting for others.
    pub(super) stop: Box<dyn Fn() -> bool>,
}

impl Transaction<'_> {
    /// Changes the entries and hashes of all that is prepared, or of none.
    ///
    /// # Errors
    /// The first thing that failed; everything is then as it was, or the failure says what is not.
    pub(super) fn commit(&self, prepared: &mut [Prepared]) -> Result<(), StepResult> {
        let of_file = |error: HashesFileError| match error {
            HashesFileError::Lock(LockError::Stopped { .. }) => StepResult::cancelled(),
            error => fail(&error, error.hint()),
        };
        self.renew(prepared)?;
        let holder = Holder::this(&self.registry.command, (self.registry.clock)());
        let file = HashesFile::lock_unless(self.hashes_file, &holder, WAIT, &*self.stop)
            .map_err(of_file)?;
        let hashes: Vec<VariantHashes> = prepared.iter().map(Prepared::hashes).collect();
        let replacement = file.with(&hashes).map_err(of_file)?;
        let compared = prepared
            .iter()
            .map(|one| one.compare(&self.registry.records, replacement.text()))
            .collect::<Result<Vec<_>, _>>()?;
        let registration = self.registration(prepared)?;
        self.journal
            .intend(&Entry::Registering(registration.clone()))
            .map_err(|error| fail(&error, error.hint()))?;
        let changed =
            self.turn(prepared, &registration)
                .and_then(|()| match file.write(&replacement) {
                    // Where the directory could not be synced, the file is replaced all the same.
                    Err(error) if !self.is_written(&hashes) => Err(of_file(error)),
                    _ => Ok(()),
                });
        if let Err(failure) = changed {
            return Err(self.take_back(prepared, &registration, failure));
        }
        self.note(&Entry::HashesReplaced {
            run: self.run.to_owned(),
            number: registration.number,
        });
        for artifact in registration.artifacts() {
            if let Err(error) = entries::settle(&artifact.link) {
                self.events.warn(None, error.to_string(), error.hint());
            }
        }
        for (one, hashes) in prepared.iter().zip(&hashes) {
            self.unlink(one, &hashes.gone);
        }
        for one in &mut *prepared {
            self.put_products(one);
        }
        drop(file);
        self.record(prepared);
        self.note(&Entry::Registered {
            run: self.run.to_owned(),
            number: registration.number,
        });
        for (one, compared) in prepared.iter().zip(compared) {
            content::tell(&one.ctx, compared);
        }
        for event in prepared.iter().flat_map(|one| &one.events) {
            self.events.emit(event.clone());
        }
        Ok(())
    }

    /// Adds again what the collector has taken since it was added, while other variants were built. What it takes
    /// from here on cannot be rooted, and then nothing is changed.
    fn renew(&self, prepared: &[Prepared]) -> Result<(), StepResult> {
        let store = &self.registry.store;
        // One that does not wait for others was looked at just now.
        if self.registry.batch.is_none() {
            return Ok(());
        }
        for one in prepared.iter().filter(|one| store.may_collect(&one.hold)) {
            let mut gone = Vec::new();
            for (captured, added) in &one.artifacts {
                if !store
                    .is_valid(&one.hold, &added.store_path)
                    .map_err(of_store)?
                {
                    gone.push((captured, added));
                }
            }
            if gone.is_empty() {
                continue;
            }
            let (run, variant) = (self.run.to_owned(), one.key.clone());
            one.ctx.intend(&Entry::Adding {
                run: run.clone(),
                variant: variant.clone(),
                store: StorePlace::of(store),
                store_paths: gone
                    .iter()
                    .map(|(_, added)| added.store_path.clone())
                    .collect(),
            })?;
            for (captured, added) in gone {
                let again = store.insert(&one.hold, captured);
                again.map_err(of_store).map_err(|failure| {
                    let why = failure.why.unwrap_or_default();
                    let path = added.store_path.display();
                    StepResult {
                        why: Some(format!("{path} was collected before all were published, and cannot be added again: {why}")),
                        ..failure
                    }
                })?;
            }
            self.note(&Entry::Added { run, variant });
        }
        Ok(())
    }

    /// Puts what was made in its place, and takes away what was made before and is no longer right. What
    /// fails here is made good by the next run: the variant is not complete.
    fn put_products(&self, one: &mut Prepared) {
        let mut now = Vec::with_capacity(one.products.len());
        for product in std::mem::take(&mut one.products) {
            match product.put(&one.ctx, &one.output_dir) {
                Ok((record, event)) => {
                    now.push(record);
                    one.events.push(event);
                }
                Err(error) => {
                    self.events
                        .warn(Some(&one.node), error.to_string(), error.hint());
                }
            }
        }
        match compress::settle(&self.registry.records, &one.key, &one.output_dir, &now) {
            Ok(faults) => {
                for error in faults {
                    self.events
                        .warn(Some(&one.node), error.to_string(), error.hint());
                }
            }
            Err(error) => {
                let message = format!("registered, but not recorded: {error}");
                self.events.warn(Some(&one.node), message, error.hint());
            }
        }
    }

    /// Removes the output entries of what the variant no longer has. One that stays says nothing wrong:
    /// no hash names it.
    fn unlink(&self, one: &Prepared, gone: &[String]) {
        for name in gone {
            let link = one.output_dir.join(name);
            let is_link = link
                .symlink_metadata()
                .is_ok_and(|entry| entry.is_symlink());
            if !is_link {
                continue;
            }
            match std::fs::remove_file(&link) {
                Ok(()) => self.events.warn(
                    Some(&one.node),
                    format!("{name} was an earlier build's; it is registered no longer"),
                    None,
                ),
                Err(source) => {
                    let error = PathError::on("remove", &link)(source);
                    self.events
                        .warn(Some(&one.node), error.to_string(), error.hint());
                }
            }
        }
    }

    /// What is about to change, and what there is now.
    fn registration(&self, prepared: &[Prepared]) -> Result<Registration, StepResult> {
        let of_path = |error: PathError| fail(&error, error.hint());
        let text = read_text(self.hashes_file).map_err(|error| fail(&error, error.hint()))?;
        // A text that is not of the file's shape was refused before; an empty one has no entries.
        let old = parse(&text).ok();
        let mut variants = Vec::with_capacity(prepared.len());
        for one in prepared {
            create_dir(&one.output_dir).map_err(of_path)?;
            let mut artifacts = Vec::with_capacity(one.artifacts.len());
            for (captured, added) in &one.artifacts {
                let link = one.link(captured);
                let old = old.as_ref().and_then(|old| old.get(&captured.unique_name));
                artifacts.push(IntendedArtifact {
                    kind: captured.kind.clone(),
                    unique_name: captured.unique_name.clone(),
                    deploy_name: captured.deploy_name.clone(),
                    bytes: captured.bytes,
                    nix32: nix32::encode(&captured.sha256),
                    old_nix32: old.map(|hash| nix32::encode(&hash)),
                    // The local store makes its links absolute.
                    store_path: std::path::absolute(&added.store_path)
                        .map_err(PathError::on("read", &added.store_path))
                        .map_err(of_path)?,
                    before: Before::of(&link).map_err(of_path)?,
                    link,
                    source: captured.source,
                });
            }
            variants.push(IntendedVariant {
                key: one.key.clone(),
                names: one.names.clone(),
                artifacts,
            });
        }
        Ok(Registration {
            run: self.run.to_owned(),
            number: self.registry.next_number(),
            hashes_file: std::path::absolute(self.hashes_file)
                .map_err(PathError::on("read", self.hashes_file))
                .map_err(of_path)?,
            store: StorePlace::of(&self.registry.store),
            variants,
        })
    }

    fn turn(&self, prepared: &[Prepared], registration: &Registration) -> Result<(), StepResult> {
        for (one, variant) in prepared.iter().zip(&registration.variants) {
            for ((_, added), artifact) in one.artifacts.iter().zip(&variant.artifacts) {
                let store = &self.registry.store;
                entries::turn(store, &one.hold, added, &artifact.link, &artifact.before)
                    .map_err(|error| fail(&error, error.hint()))?;
            }
        }
        Ok(())
    }

    /// Everything as it was. What cannot be turned back now stays in the journal for the next start.
    fn take_back(
        &self,
        prepared: &[Prepared],
        registration: &Registration,
        failure: StepResult,
    ) -> StepResult {
        let mut all = true;
        for (one, variant) in prepared.iter().zip(&registration.variants) {
            for artifact in &variant.artifacts {
                let turned_back = entries::turn_back(
                    &self.registry.store,
                    &one.hold,
                    &artifact.link,
                    &artifact.before,
                    &artifact.store_path,
                );
                if let Err(error) = turned_back {
                    all = false;
                    self.events
                        .warn(Some(&one.node), error.to_string(), error.hint());
                }
            }
        }
        if all {
            self.note(&Entry::RolledBack {
                run: self.run.to_owned(),
                number: registration.number,
            });
        }
        failure
    }

    fn is_written(&self, hashes: &[VariantHashes]) -> bool {
        let text = read_text(self.hashes_file).unwrap_or_default();
        parse(&text).is_ok_and(|file| {
            hashes
                .iter()
                .flat_map(|variant| &variant.entries)
                .all(|(name, hash)| file.get(name) == Some(*hash))
        })
    }

    /// Store and hashes are right at this point, so what is missing here costs a rebuild at most.
    fn record(&self, prepared: &[Prepared]) {
        for one in prepared {
            let registered: Vec<Registered<'_>> = one
                .artifacts
                .iter()
                .map(|(captured, added)| Registered {
                    captured,
                    store_path: &added.store_path,
                })
                .collect();
            let recorded = self.registry.records.record_registered(
                self.run,
                &one.key,
                &registered,
                (self.registry.clock)(),
            );
            let remembered =
                recorded.and_then(|()| match one.ctx.handover.take_made_of(&one.key) {
                    None => Ok(()),
                    Some(made_of) => remember(
                        &self.registry.records,
                        &self.registry.store,
                        self.run,
                        &one.ctx.variant,
                        &one.artifacts,
                        &made_of,
                    ),
                });
            if let Err(error) = remembered {
                let message = format!("registered, but not recorded: {error}");
                self.events.warn(Some(&one.node), message, error.hint());
            }
        }
    }

    fn note(&self, entry: &Entry) {
        if let Err(error) = self.journal.note(entry) {
            self.events.warn(None, error.to_string(), error.hint());
        }
    }
}
