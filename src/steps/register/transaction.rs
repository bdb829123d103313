//! A transaction over the output entries and hashes of one variant or of several. How their files came into the store
//! is elsewhere.
//!
//! Under the lock of the hashes file, the new text is made and checked, so that everything is refused that can be. Then
//! the journal gets the intent, the output entries turn to the new store paths, and the hashes file is replaced. That is
//! the instant at which the transaction takes effect: a failure before it turns the entries back. After a death at any
//! instant, `recovery/` finishes the transaction or takes it back by the same rule. Blocking.

use std::path::Path;

use crate::base::nix32;
use crate::event::EventSink;
use crate::fs::lock::{Holder, LockError};
use crate::fs::{PathError, create_dir};
use crate::hashes_file::file::{HashesFile, HashesFileError, WAIT, read_text};
use crate::hashes_file::{VariantHashes, parse};
use crate::state::journal::{Entry, IntendedArtifact, IntendedVariant, Journal, Registration};
use crate::state::records::Registered;
use crate::steps::errors::of_store;
use crate::steps::gates::uniqueness;
use crate::steps::product_files;
use crate::steps::register::prepared::PreparedVariant;
use crate::steps::register::record_key::record_key;
use crate::steps::register::registry::Registry;
use crate::steps::result::StepResult;
use crate::store::entries;
use crate::store::entries::Before;

/// The surroundings of a transaction.
pub(super) struct Transaction<'a> {
    pub(super) run: &'a str,
    pub(super) hashes_file: &'a Path,
    pub(super) registry: &'a Registry,
    pub(super) journal: &'a Journal,
    pub(super) events: &'a EventSink,
    /// Whether to give up waiting for locks.
    pub(super) stop: Box<dyn Fn() -> bool>,
}

impl Transaction<'_> {
    /// Changes the entries and hashes of all prepared variants, or of none.
    ///
    /// # Errors
    /// The first failure. Everything is then as it was; where it is not, a warning says so and the journal has it.
    pub(super) fn commit(&self, prepared: &mut [PreparedVariant]) -> Result<(), StepResult> {
        let of_file = |error: HashesFileError| match error {
            HashesFileError::Lock(LockError::Stopped { .. }) => StepResult::cancelled(),
            error => StepResult::error(&error, error.hint()),
        };
        self.add_collected_again(prepared)?;
        let holder = Holder::this(&self.registry.command, (self.registry.clock)());
        let file = HashesFile::lock_unless(self.hashes_file, &holder, WAIT, &*self.stop)
            .map_err(of_file)?;
        let hashes: Vec<VariantHashes> = prepared.iter().map(PreparedVariant::hashes).collect();
        let replacement = file.with(&hashes).map_err(of_file)?;
        let unique = prepared
            .iter()
            .map(|one| one.check_uniqueness(&self.registry.records, replacement.text()))
            .collect::<Result<Vec<_>, _>>()?;
        let registration = self.registration(prepared)?;
        self.journal
            .intend(&Entry::Registering(registration.clone()))
            .map_err(|error| StepResult::error(&error, error.hint()))?;
        let changed = self.turn(prepared, &registration).and_then(|()| {
            match file.write(replacement, &hashes) {
                // If only the sync of the directory failed, the file is replaced all the same.
                Err(error) if !self.is_written(&hashes) => Err(of_file(error)),
                _ => Ok(()),
            }
        });
        if let Err(failure) = changed {
            self.take_back(prepared, &registration);
            return Err(failure);
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
        for (one, unique) in prepared.iter().zip(unique) {
            uniqueness::report(&one.cx, unique);
        }
        for event in prepared.iter().flat_map(|one| &one.events) {
            self.events.emit(event.clone());
        }
        Ok(())
    }

    /// Adds files again that the garbage collector has taken while other variants were built. If it takes one after
    /// this, the entry cannot become a GC root, and nothing is changed.
    fn add_collected_again(&self, prepared: &[PreparedVariant]) -> Result<(), StepResult> {
        let store = &self.registry.store;
        // Without a batch, the files were added just now.
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
            let (run, variant) = (self.run.to_owned(), one.key().clone());
            one.cx.intend_blocking(&Entry::Adding {
                run: run.clone(),
                variant: variant.clone(),
                store: store.place(),
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

    /// Puts products in their places and removes former ones that are no longer right. The next run repairs what fails
    /// here: it finds the variant incomplete.
    fn put_products(&self, one: &mut PreparedVariant) {
        let mut now = Vec::with_capacity(one.products.len());
        for product in std::mem::take(&mut one.products) {
            match product.put(&one.cx, &one.output_dir) {
                Ok((record, event)) => {
                    now.push(record);
                    one.events.push(event);
                }
                Err(error) => {
                    one.cx.warn(error.to_string(), error.hint());
                }
            }
        }
        match product_files::settle(&self.registry.records, one.key(), &one.output_dir, &now) {
            Ok(faults) => {
                for error in faults {
                    one.cx.warn(error.to_string(), error.hint());
                }
            }
            Err(error) => {
                let message = format!("registered, but not recorded: {error}");
                one.cx.warn(message, error.hint());
            }
        }
    }

    /// Removes the output entries of artifacts that the variant no longer has. One that stays is harmless: no hash names
    /// it.
    fn unlink(&self, one: &PreparedVariant, gone: &[String]) {
        for name in gone {
            let link = one.output_dir.join(name);
            let is_link = link
                .symlink_metadata()
                .is_ok_and(|entry| entry.is_symlink());
            if !is_link {
                continue;
            }
            match std::fs::remove_file(&link) {
                Ok(()) => {
                    let message =
                        format!("{name} is of an earlier build; it is no longer registered");
                    one.cx.warn(message, None);
                }
                Err(source) => {
                    let error = PathError::on("remove", &link)(source);
                    one.cx.warn(error.to_string(), error.hint());
                }
            }
        }
    }

    /// The intent: what is about to change, and what there is now.
    fn registration(&self, prepared: &[PreparedVariant]) -> Result<Registration, StepResult> {
        let of_path = |error: PathError| StepResult::error(&error, error.hint());
        let text =
            read_text(self.hashes_file).map_err(|error| StepResult::error(&error, error.hint()))?;
        // A malformed text was refused before; an empty one has no entries.
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
                    // As the local store links it.
                    store_path: std::path::absolute(&added.store_path)
                        .map_err(PathError::on("read", &added.store_path))
                        .map_err(of_path)?,
                    before: Before::of(&link).map_err(of_path)?,
                    link,
                    source: captured.source,
                });
            }
            variants.push(IntendedVariant {
                key: one.key().clone(),
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
            store: self.registry.store.place(),
            variants,
        })
    }

    fn turn(
        &self,
        prepared: &[PreparedVariant],
        registration: &Registration,
    ) -> Result<(), StepResult> {
        for (one, variant) in prepared.iter().zip(&registration.variants) {
            for ((_, added), artifact) in one.artifacts.iter().zip(&variant.artifacts) {
                let store = &self.registry.store;
                entries::turn(store, &one.hold, added, &artifact.link, &artifact.before)
                    .map_err(|error| StepResult::error(&error, error.hint()))?;
            }
        }
        Ok(())
    }

    /// Turns the entries back. One that cannot be turned back now stays in the journal for the next start.
    fn take_back(&self, prepared: &[PreparedVariant], registration: &Registration) {
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
                    one.cx.warn(error.to_string(), error.hint());
                }
            }
        }
        if all {
            self.note(&Entry::RolledBack {
                run: self.run.to_owned(),
                number: registration.number,
            });
        }
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

    /// Records the registrations. Store and hashes are right already, so a failure costs a rebuild at most.
    fn record(&self, prepared: &mut [PreparedVariant]) {
        for one in prepared {
            let registered: Vec<Registered<'_>> = one
                .artifacts
                .iter()
                .map(|(captured, added)| Registered {
                    captured,
                    store_path: &added.store_path,
                })
                .collect();
            let now = (self.registry.clock)();
            let records = &self.registry.records;
            let recorded = records.record_registered(self.run, one.key(), &registered, now);
            let recorded = recorded.and_then(|()| match one.inputs.take() {
                None => Ok(()),
                Some(inputs) => record_key(self.registry, one, &inputs),
            });
            if let Err(error) = recorded {
                let message = format!("registered, but not recorded: {error}");
                one.cx.warn(message, error.hint());
            }
        }
    }

    fn note(&self, entry: &Entry) {
        if let Err(error) = self.journal.note(entry) {
            self.events.warn(None, error.to_string(), error.hint());
        }
    }
}
