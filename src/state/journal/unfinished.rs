//! What of each run in a journal is still open. Pure: entries in, lists out.

use std::path::PathBuf;

use super::entry::{Entry, Registration, StorePlace};
use crate::exec::Undo;
use crate::model::matrix::VariantKey;
use crate::wsl::Drive;

/// A build that nobody saw the end of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBuild {
    /// The variant.
    pub variant: VariantKey,
    /// The name of its container, and of the build where there is none.
    pub name: String,
    /// What ends it.
    pub undo: Undo,
}

/// A run whose end the journal does not have, or that left something open at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Its id.
    pub run: String,
    /// Its first entry, where the journal has it.
    started: Option<Entry>,
    /// Builds without an end.
    pub builds: Vec<OpenBuild>,
    /// Directories that it captured into.
    pub staging: Vec<PathBuf>,
    /// Store paths that were being added.
    pub adding: Vec<(VariantKey, StorePlace, Vec<PathBuf>)>,
    /// For which builds drives of Windows are away, since which start of the kernel, and which drives.
    pub drives: Vec<(String, String, Vec<Drive>)>,
    /// Registrations that are neither complete nor rolled back.
    pub registrations: Vec<Registration>,
    ended: bool,
}

impl Unfinished {
    fn new(run: &str) -> Unfinished {
        Unfinished {
            run: run.to_owned(),
            started: None,
            builds: Vec::new(),
            staging: Vec::new(),
            adding: Vec::new(),
            drives: Vec::new(),
            registrations: Vec::new(),
            ended: false,
        }
    }

    /// Whether something of it waits to be undone or finished, however it ended.
    #[must_use]
    pub fn holds_anything(&self) -> bool {
        !self.builds.is_empty()
            || !self.adding.is_empty()
            || !self.registrations.is_empty()
            || !self.drives.is_empty()
    }

    /// The shortest journal that says the same.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let run = || self.run.clone();
        let builds = self.builds.iter().map(|build| Entry::BuildStarted {
            run: run(),
            variant: build.variant.clone(),
            name: build.name.clone(),
            undo: build.undo.clone(),
        });
        let adding = self
            .adding
            .iter()
            .map(|(variant, store, store_paths)| Entry::Adding {
                run: run(),
                variant: variant.clone(),
                store: store.clone(),
                store_paths: store_paths.clone(),
            });
        let drives = self
            .drives
            .iter()
            .map(|(build, boot, drives)| Entry::DrivesAway {
                run: run(),
                build: build.clone(),
                boot: boot.clone(),
                drives: drives.clone(),
            });
        self.started
            .iter()
            .cloned()
            .chain(builds)
            .chain(drives)
            .chain(adding)
            .chain(self.registrations.iter().cloned().map(Entry::Registering))
            .collect()
    }

    fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::RunStarted { .. } => self.started = Some(entry.clone()),
            Entry::BuildStarted {
                variant,
                name,
                undo,
                ..
            } => self.builds.push(OpenBuild {
                variant: variant.clone(),
                name: name.clone(),
                undo: undo.clone(),
            }),
            Entry::BuildGroup { .. } | Entry::HashesReplaced { .. } => {}
            Entry::BuildEnded { name, .. } => self.builds.retain(|build| build.name != *name),
            Entry::Capturing { staging, .. } => {
                if !self.staging.contains(staging) {
                    self.staging.push(staging.clone());
                }
            }
            Entry::Adding {
                variant,
                store,
                store_paths,
                ..
            } => self
                .adding
                .push((variant.clone(), store.clone(), store_paths.clone())),
            Entry::Added { variant, .. } => self.adding.retain(|(key, ..)| key != variant),
            Entry::Registering(registration) => self.registrations.push(registration.clone()),
            Entry::Registered { number, .. } | Entry::RolledBack { number, .. } => {
                self.registrations
                    .retain(|registration| registration.number != *number);
            }
            Entry::DrivesAway {
                build,
                boot,
                drives,
                ..
            } => self
                .drives
                .push((build.clone(), boot.clone(), drives.clone())),
            Entry::DrivesBack { build, .. } => self.drives.retain(|(of, ..)| of != build),
            Entry::RunEnded { .. } => self.ended = true,
        }
    }
}

/// The runs of a journal that did not end, or not cleanly, in the order in which they began.
#[must_use]
pub fn unfinished(entries: &[Entry]) -> Vec<Unfinished> {
    let mut runs: Vec<Unfinished> = Vec::new();
    for entry in entries {
        let index = runs
            .iter()
            .position(|run| run.run == entry.run())
            .unwrap_or_else(|| {
                runs.push(Unfinished::new(entry.run()));
                runs.len() - 1
            });
        runs[index].take(entry);
    }
    runs.retain(|run| !run.ended || run.holds_anything());
    runs
}
