//! The unfinished parts of each run in a journal. Pure.

use std::path::PathBuf;

use crate::exec::Undo;
use crate::matrix::VariantKey;
use crate::state::journal::entry::{Entry, Registration, StorePlace};
use crate::wsl::WindowsDrive;

/// A build without an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBuild {
    /// The variant.
    pub variant: VariantKey,
    /// The name of the build, which is also that of its container.
    pub name: String,
    /// The commands that end it.
    pub undo: Undo,
}

/// An entry of a step that the step has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenStep {
    /// The variant.
    pub variant: VariantKey,
    /// The kind of the step.
    pub step: String,
    /// The data for the step's `recover`.
    pub payload: serde_json::Value,
}

/// A run without an end in the journal, or with something unfinished at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Its id.
    pub run: String,
    /// Its first entry; a torn journal may lack it.
    started: Option<Entry>,
    /// Builds without an end.
    pub builds: Vec<OpenBuild>,
    /// Its staging directories.
    pub staging: Vec<PathBuf>,
    /// Store paths that were being added.
    pub adding: Vec<(VariantKey, StorePlace, Vec<PathBuf>)>,
    /// Unmounted Windows drives: the build, the boot id, the drives.
    pub drives: Vec<(String, String, Vec<WindowsDrive>)>,
    /// Registrations that are neither complete nor rolled back.
    pub registrations: Vec<Registration>,
    /// Entries that steps recover themselves.
    pub steps: Vec<OpenStep>,
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
            steps: Vec::new(),
            ended: false,
        }
    }

    /// Whether something of it is left to undo or finish.
    #[must_use]
    pub fn holds_anything(&self) -> bool {
        !self.builds.is_empty()
            || !self.adding.is_empty()
            || !self.registrations.is_empty()
            || !self.drives.is_empty()
            || !self.steps.is_empty()
    }

    /// The shortest list of entries with the same unfinished parts.
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
        let steps = self.steps.iter().map(|open| Entry::StepStarted {
            run: run(),
            variant: open.variant.clone(),
            step: open.step.clone(),
            payload: open.payload.clone(),
        });
        self.started
            .iter()
            .cloned()
            .chain(builds)
            .chain(drives)
            .chain(adding)
            .chain(self.registrations.iter().cloned().map(Entry::Registering))
            .chain(steps)
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
            Entry::StepStarted {
                variant,
                step,
                payload,
                ..
            } => self.steps.push(OpenStep {
                variant: variant.clone(),
                step: step.clone(),
                payload: payload.clone(),
            }),
            Entry::StepEnded { variant, step, .. } => self
                .steps
                .retain(|open| open.variant != *variant || open.step != *step),
            Entry::RunEnded { .. } => self.ended = true,
        }
    }
}

/// The unfinished runs of a journal, in the order of their start.
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
