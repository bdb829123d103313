//! Steps: one file each; what runs, what it needs, what it leaves. Knows nothing of how steps are
//! scheduled or shown.

pub mod build;
pub mod capture;
pub mod compress;
pub mod contamination;
mod content;
pub mod deploy;
pub mod freshness;
mod gates;
pub(crate) mod git_locks;
pub mod output;
pub mod places;
pub mod register;
pub mod room;
pub mod share;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

pub use crate::exec::{StopLevel, StopSignal};
use crate::model::key::{Line, Unpinned};
use crate::model::matrix::{Variant, VariantKey};
use crate::model::outcome::Outcome;
use crate::model::silence::History;
use crate::report::EventSink;
use crate::settings::Settings;
use crate::state::journal::{Entry, Journal};
use crate::state::records::measures::Measure;

use build::first::FirstStart;
use freshness::Before;
use places::Places;
use share::Share;

pub use crate::store::Captured;
use crate::store::Hold;
use crate::store::copy::Stamp;

/// What a step has to work with.
#[derive(Clone)]
pub struct StepContext {
    /// The node's id.
    pub node: String,
    /// The run's id.
    pub run: String,
    /// The variant.
    pub variant: Arc<Variant>,
    /// The settings.
    pub settings: Arc<Settings>,
    /// Where events go.
    pub events: EventSink,
    /// When to stop.
    pub stop: StopSignal,
    /// What the step is given of the machine.
    pub share: Share,
    /// Variables that the build is given besides the user's.
    pub variables: Vec<(&'static str, String)>,
    /// What the steps of this run hand on to each other.
    pub handover: Arc<Handover>,
    /// Where they say what they are about to do.
    pub journal: Arc<Journal>,
}

impl StepContext {
    /// Journals what is about to be done, on the disk when it returns.
    ///
    /// # Errors
    /// As the step is to end: without an entry it must not be done.
    pub fn intend(&self, entry: &Entry) -> Result<(), StepResult> {
        self.journal
            .intend(entry)
            .map_err(|error| StepResult::failed(error.to_string()).hint_if(error.hint()))
    }

    /// Journals what is done. Where that fails, the next start looks at it once more, which does no
    /// harm.
    pub fn note(&self, entry: &Entry) {
        if let Err(error) = self.journal.note(entry) {
            self.events
                .warn(Some(&self.node), error.to_string(), error.hint());
        }
    }
}

/// How a step ended, and why where it did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    /// How.
    pub outcome: Outcome,
    /// The reason, one sentence, where there is one to give.
    pub why: Option<String>,
    /// What to do about it, as a command where there is one.
    pub hint: Option<String>,
}

impl StepResult {
    /// It did what it is for.
    #[must_use]
    pub fn succeeded() -> StepResult {
        StepResult {
            outcome: Outcome::Succeeded,
            why: None,
            hint: None,
        }
    }

    /// It did not work.
    #[must_use]
    pub fn failed(why: impl Into<String>) -> StepResult {
        StepResult {
            outcome: Outcome::Failed,
            why: Some(why.into()),
            hint: None,
        }
    }

    /// A gate would not have it.
    #[must_use]
    pub fn refused(why: impl Into<String>) -> StepResult {
        StepResult {
            outcome: Outcome::Refused,
            why: Some(why.into()),
            hint: None,
        }
    }

    /// It was stopped.
    #[must_use]
    pub fn cancelled() -> StepResult {
        StepResult {
            outcome: Outcome::Cancelled,
            why: None,
            hint: None,
        }
    }

    /// The same with a hint, where there is one.
    #[must_use]
    pub fn hint_if(mut self, hint: Option<String>) -> StepResult {
        self.hint = hint.or(self.hint);
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> StepResult {
        self.hint = Some(hint.into());
        self
    }
}

/// What a capture leaves for the registration.
#[derive(Debug, Default)]
pub struct Captures {
    /// The files.
    pub captured: Vec<Captured>,
    /// Keeps the store's collector away from those that are in the store already.
    pub hold: Option<Arc<Hold>>,
    /// Where those have data of which something is made.
    pub data: compress::Data,
    /// What was made of them.
    pub products: Vec<compress::Ready>,
}

/// What the steps of a run hand on: that the first build has prepared what all start from, how many files are
/// taken at once, what lay in the deploy directory before each build, what each build took and how long its tasks are silent, and
/// the captures of each variant.
#[derive(Debug, Default)]
pub struct Handover {
    first: FirstStart,
    places: Places,
    measured: Mutex<HashMap<VariantKey, Measured>>,
    before: Mutex<HashMap<VariantKey, Before>>,
    captured: Mutex<HashMap<VariantKey, Captures>>,
    made_of: Mutex<HashMap<VariantKey, MadeOf>>,
    silences: Mutex<HashMap<VariantKey, History>>,
}

/// What was measured of a variant's build.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// What it took.
    pub measure: Measure,
    /// How long kas ran, in seconds; none where it was not started.
    pub seconds: Option<f64>,
}

/// What a variant was built from, while nothing of that changed.
#[derive(Debug, Clone)]
pub struct MadeOf {
    /// The input key.
    pub key: String,
    /// The lines that it is the hash of.
    pub lines: Vec<Line>,
    /// What of them nothing pins.
    pub unpinned: Vec<Unpinned>,
    /// When the build began.
    pub started: Timestamp,
}

impl Handover {
    /// Where one build goes first, and captures have so many places.
    #[must_use]
    pub fn with(first: FirstStart, places: Places) -> Handover {
        Handover {
            first,
            places,
            ..Handover::default()
        }
    }

    /// The places of captures.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Who goes first.
    #[must_use]
    pub fn first(&self) -> &FirstStart {
        &self.first
    }

    /// Leaves what was measured of a variant's build.
    pub fn put_measured(&self, key: VariantKey, measured: Measured) {
        self.measured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, measured);
    }

    /// Takes what was measured of a variant's build.
    pub fn take_measured(&self, key: &VariantKey) -> Measured {
        self.measured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
            .unwrap_or_default()
    }

    /// Leaves what lay there before a variant's build for its capture.
    pub fn put_before(&self, key: VariantKey, before: Before) {
        self.before
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, before);
    }

    /// Takes what lay there before a variant's build; none where it was not built.
    pub fn take_before(&self, key: &VariantKey) -> Option<Before> {
        self.before
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
    }

    /// Leaves what a variant was built from for its registration.
    pub fn put_made_of(&self, key: VariantKey, made_of: MadeOf) {
        self.made_of
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, made_of);
    }

    /// Takes what a variant was built from; none where that is not known, or changed meanwhile.
    pub fn take_made_of(&self, key: &VariantKey) -> Option<MadeOf> {
        self.made_of
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
    }

    /// Leaves the longest silences of a variant's tasks: for its build those of builds before it, and of
    /// a build that ended well its own.
    pub fn put_silences(&self, key: VariantKey, silences: History) {
        self.silences
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, silences);
    }

    /// What was left of them.
    pub fn silences(&self, key: &VariantKey) -> History {
        self.silences
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
            .unwrap_or_default()
    }

    /// Leaves a variant's captures for its registration.
    pub fn put(&self, key: VariantKey, captured: Captures) {
        self.captured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, captured);
    }

    /// Takes a variant's captures; empty when there are none.
    pub fn take(&self, key: &VariantKey) -> Captures {
        self.captured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
            .unwrap_or_default()
    }

    /// Whether only its bytes can prove whose a file is that lay there before a variant's build.
    #[must_use]
    pub fn needs_bytes(&self, key: &VariantKey, source: &Stamp) -> bool {
        self.before
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .is_some_and(|before| before.needs_bytes(source))
    }
}
