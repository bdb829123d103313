//! Interrupted registrations: finished or rolled back.
//!
//! The hashes file decides, because its replacement is atomic. If it has the new entries, the registration holds and
//! recovery does the rest; if not, the output entries return to their former targets. If the store has collected such a
//! target meanwhile, the registration is finished instead: its files were proven and in the store before it began.

use std::time::Duration;

use crate::base::hex;
use crate::base::nix32;
use crate::event::ArtifactOrigin;
use crate::hashes_file::file::{HashesFile, HashesFileError, read_text};
use crate::hashes_file::{VariantHashes, parse};
use crate::recovery::RecoveryPlace;
use crate::recovery::report::{RecoveryReport, Verb};
use crate::state::journal::{IntendedArtifact, IntendedVariant, Registration, Unfinished};
use crate::state::records::{Records, RecordsError, Registered};
use crate::steps::product_files;
use crate::steps::register::prepared::without;
use crate::store::choice::reopen;
use crate::store::entries;
use crate::store::entries::Before;
use crate::store::{Added, Captured, Hold, Store, StoreError};

/// How long to wait for a living process that writes the hashes file. It holds it for moments.
const WAIT: Duration = Duration::from_secs(60);

const FINISH: Verb = Verb("finished", "would finish");
const ROLL_BACK: Verb = Verb("rolled back", "would roll back");

/// Settles every registration; one that cannot be stays in `runs`.
pub(super) fn settle(
    place: &RecoveryPlace<'_>,
    runs: &mut [Unfinished],
    report: &mut RecoveryReport,
) {
    for run in runs {
        run.registrations.retain(|registration| {
            let what = what(registration);
            match settle_one(place, registration) {
                Ok(Settled::Finished) => {
                    report.done(FINISH, format!("{what}: its hashes were written"));
                    false
                }
                Ok(Settled::Pushed) => {
                    let why = "the files that it replaces are no longer in the store";
                    report.done(FINISH, format!("{what}: {why}"));
                    false
                }
                Ok(Settled::RolledBack) => {
                    report.done(ROLL_BACK, format!("{what}: its hashes were not written"));
                    false
                }
                Err(fault) => {
                    let (why, hint) = fault.words();
                    report.failed(format!("{what} is half done: {why}"), hint);
                    true
                }
            }
        });
    }
}

fn what(registration: &Registration) -> String {
    let keys: Vec<String> = registration
        .variants
        .iter()
        .map(|variant| variant.key.to_string())
        .collect();
    format!(
        "the registration of {} of run {}",
        keys.join(", "),
        registration.run
    )
}

enum Settled {
    Finished,
    Pushed,
    RolledBack,
}

/// Why a registration is neither finished nor rolled back.
#[derive(Debug, thiserror::Error)]
enum SettleFault {
    #[error(transparent)]
    File(#[from] HashesFileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Path(#[from] crate::fs::PathError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("the journal has a hash that is none: {0}")]
    Hash(String),
}

impl SettleFault {
    fn words(&self) -> (String, Option<String>) {
        let hint = match self {
            SettleFault::File(error) => error.hint(),
            SettleFault::Store(error) => error.hint(),
            SettleFault::Path(error) => error.hint(),
            SettleFault::Records(error) => error.hint(),
            SettleFault::Hash(_) => None,
        };
        (self.to_string(), hint)
    }
}

fn settle_one(
    place: &RecoveryPlace<'_>,
    registration: &Registration,
) -> Result<Settled, SettleFault> {
    let file = HashesFile::lock(&registration.hashes_file, &place.holder(), WAIT)?;
    let text = read_text(&registration.hashes_file)?;
    // A file that cannot be read, as in the middle of a merge, decides nothing; the next recovery reads it again.
    let known = match text.trim() {
        "" => None,
        _ => Some(parse(&text).map_err(|source| HashesFileError::Text {
            path: registration.hashes_file.clone(),
            source,
        })?),
    };
    let is_written = |artifact: &IntendedArtifact| {
        let now = known
            .as_ref()
            .and_then(|file| file.get(&artifact.unique_name));
        now.is_some_and(|now| nix32::encode(&now) == artifact.nix32)
    };
    let store = reopen(place.backends, &registration.store)?;
    let settled = if registration.artifacts().all(is_written) {
        Settled::Finished
    } else if registration.artifacts().any(cannot_turn_back) {
        Settled::Pushed
    } else {
        Settled::RolledBack
    };
    if place.dry_run {
        return Ok(settled);
    }
    let hold = store.hold()?;
    for artifact in registration.artifacts() {
        match settled {
            Settled::RolledBack if !is_written(artifact) => entries::turn_back(
                &store,
                &hold,
                &artifact.link,
                &artifact.before,
                &artifact.store_path,
            )?,
            _ => finish(&store, &hold, artifact)?,
        }
    }
    if matches!(settled, Settled::Pushed) {
        let hashes = registration
            .variants
            .iter()
            .map(hashes_of)
            .collect::<Result<Vec<_>, _>>()?;
        file.write(file.with(&hashes)?, &hashes)?;
    }
    for artifact in registration.artifacts() {
        entries::settle(&artifact.link)?;
    }
    drop(file);
    if !matches!(settled, Settled::RolledBack) {
        record(place, registration)?;
    }
    Ok(settled)
}

/// Whether an entry was turned away from a link whose target is gone.
fn cannot_turn_back(artifact: &IntendedArtifact) -> bool {
    let turned = Before::of(&artifact.link).is_ok_and(|now| now.is_link_to(&artifact.store_path));
    match &artifact.before {
        Before::Link { target } if *target != artifact.store_path => turned && !target.exists(),
        _ => false,
    }
}

/// Turns an entry to the new path and roots it. An entry that was changed since stays.
fn finish(store: &Store, hold: &Hold, artifact: &IntendedArtifact) -> Result<(), StoreError> {
    let now = Before::of(&artifact.link)?;
    if now != artifact.before && !now.is_link_to(&artifact.store_path) {
        return Ok(());
    }
    let added = Added {
        store_path: artifact.store_path.clone(),
        how: ArtifactOrigin::AlreadyValid,
    };
    entries::turn(store, hold, &added, &artifact.link, &now)
}

fn hashes_of(variant: &IntendedVariant) -> Result<VariantHashes, SettleFault> {
    let mut entries = Vec::with_capacity(variant.artifacts.len());
    for artifact in &variant.artifacts {
        entries.push((artifact.unique_name.clone(), sha256(artifact)?));
    }
    Ok(VariantHashes {
        key: variant.key.clone(),
        gone: without(&variant.names, &entries),
        names: variant.names.clone(),
        entries,
    })
}

fn sha256(artifact: &IntendedArtifact) -> Result<[u8; 32], SettleFault> {
    nix32::decode(&artifact.nix32).map_err(|_| SettleFault::Hash(artifact.nix32.clone()))
}

/// Removes products of files that these replace. The next run makes the products of these.
fn settle_products(records: &Records, variant: &IntendedVariant) -> Result<(), SettleFault> {
    let Some(dir) = variant.artifacts.first().and_then(|one| one.link.parent()) else {
        return Ok(());
    };
    let mut now = records.products(&variant.key)?;
    let mut hashes = Vec::with_capacity(variant.artifacts.len());
    for artifact in &variant.artifacts {
        hashes.push(hex::encode(&sha256(artifact)?));
    }
    now.retain(|product| hashes.contains(&product.of));
    let faults = product_files::settle(records, &variant.key, dir, &now)?;
    faults
        .into_iter()
        .next()
        .map_or(Ok(()), |fault| Err(fault.into()))
}

/// Commits the record, unless that was done.
fn record(place: &RecoveryPlace<'_>, registration: &Registration) -> Result<(), SettleFault> {
    let records = Records::open(&place.state.records())?;
    for variant in &registration.variants {
        settle_products(&records, variant)?;
        let mut captured = Vec::with_capacity(variant.artifacts.len());
        for artifact in &variant.artifacts {
            captured.push(Captured {
                kind: artifact.kind.clone(),
                unique_name: artifact.unique_name.clone(),
                deploy_name: artifact.deploy_name.clone(),
                path: artifact.store_path.clone(),
                bytes: artifact.bytes,
                sha256: sha256(artifact)?,
                nar_sha256: None,
                staged: false,
                source: artifact.source,
                added: None,
            });
        }
        let is_recorded = match variant.artifacts.first() {
            Some(first) => records
                .last_registered(&first.unique_name)?
                .is_some_and(|record| record.run == registration.run),
            None => true,
        };
        if is_recorded {
            continue;
        }
        let registered: Vec<Registered<'_>> = captured
            .iter()
            .map(|captured| Registered {
                captured,
                store_path: &captured.path,
            })
            .collect();
        records.record_registered(&registration.run, &variant.key, &registered, place.now)?;
    }
    Ok(())
}
