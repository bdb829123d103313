//! Step information: what planner, ready set and simulator know of a step. Pure data.
//!
//! The room `steps/` has one constant of it for each step; a plan is made from a list of them. Nothing in
//! this room compares a kind with a word, so a new step needs no change here.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::matrix::{Variant, VariantKey};

/// The kind of a step: the word in node ids, events and `plan --format json`.
///
/// Two steps may share a kind when no scope contains both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepKind(&'static str);

impl StepKind {
    /// A kind by its word: lower case, without `:` and `/`, which separate the parts of a node id.
    #[must_use]
    pub const fn new(word: &'static str) -> StepKind {
        StepKind(word)
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl Serialize for StepKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// The words of reporters for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepWords {
    /// The infinitive: `build`.
    pub verb: &'static str,
    /// The past participle: `built`.
    pub past: &'static str,
    /// The present participle: `building`.
    pub doing: &'static str,
}

/// Which part of the main job is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Build, capture and register.
    #[default]
    Full,
    /// Capture from the deploy directory without a build, then register (`--rename-existing`).
    FromDeploy,
    /// Register the files in the output directory (`--hash-only`).
    FromOutput,
}

/// A lane of which every node of a step takes one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepLane {
    /// The lane's name; steps that name the same lane share it.
    pub name: &'static str,
    /// How many places it has.
    pub size: LaneSize,
}

/// The size of a lane, as far as it is known before planning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneSize {
    /// A fixed number of places.
    Fixed(u32),
    /// The number of builds at the same time (`-j`).
    Builds,
    /// The number of captures at the same time.
    Captures,
}

/// A step's use of the variant's build directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuildDirUse {
    /// The step does not touch it.
    None,
    /// The step reads deployed files. A step of another variant that writes to the directory waits for it.
    Reads,
    /// The step writes to it, over whatever another variant deployed there.
    Writes,
}

/// A step's entry in plans.
#[derive(Debug)]
pub struct StepInfo {
    /// The kind, unique among the steps of a scope.
    pub kind: StepKind,
    /// The words for people.
    pub words: StepWords,
    /// The step in charts.
    pub mark: char,
    /// The scopes whose plans contain the step.
    pub scopes: &'static [Scope],
    /// Whether a variant has the step.
    pub applies: fn(&Variant) -> bool,
    /// The lanes, besides those of the machine and of the build directory.
    pub lanes: &'static [StepLane],
    /// The use of the build directory, which is a lane of one place.
    pub build_dir: BuildDirUse,
    /// Whether the step loads the whole machine, as a build does. Heavy steps take their part of the lanes `cpu`
    /// and `memory`, share the processor's threads, can be group leaders, do not start under memory pressure,
    /// and are given up when the run stops. A variant has at most one.
    pub heavy: bool,
    /// The assumed duration where nothing was measured, in milliseconds.
    pub assumed_millis: u64,
}

impl StepInfo {
    /// Whether plans of `scope` contain the step.
    #[must_use]
    pub fn is_in(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// Infos are constants: equal means identical.
impl PartialEq for StepInfo {
    fn eq(&self, other: &StepInfo) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for StepInfo {}

/// For [`StepInfo::applies`]: every variant has the step.
#[must_use]
pub fn always(_: &Variant) -> bool {
    true
}

/// The id of a node: `step:machine/id`, unique in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId<'p> {
    /// The step's kind.
    pub step: StepKind,
    /// The variant.
    pub variant: &'p VariantKey,
}

impl fmt::Display for NodeId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.step, self.variant)
    }
}

impl Serialize for NodeId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
