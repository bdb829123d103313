//! The plan: a directed acyclic graph of steps over the matrix, with the lanes that each step takes.
//!
//! Pure data. A plan is made by the planner from [`StepInfo`]s and [`Resources`]; it starts in plan order, and
//! its caller may improve that with [`order`]. Printing and running a plan are elsewhere.

pub mod affinity;
pub mod bounds;
pub mod collide;
pub mod json;
pub mod order;
mod planner;
pub mod ready;
pub mod resource_need;
pub mod simulate;
pub mod skip;
pub mod step_info;
pub mod threads;

use std::sync::Arc;

use crate::matrix::Variant;
use crate::plan::resource_need::{BuildCapacity, ResourceNeed};

pub use crate::plan::step_info::{
    BuildDirUse, LaneSize, NodeId, Scope, StepInfo, StepKind, StepLane, StepWords,
};

/// The index of a node in [`Plan::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeIx(pub usize);

/// The index of a variant in [`Plan::variants`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VariantIx(pub usize);

/// The index of a lane in [`Plan::lanes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneIx(pub usize);

/// The name of a build directory's lane is this and the directory.
const BUILD_DIR_LANE: &str = "builddir:";

/// A counted resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The name, unique in the plan.
    pub name: String,
    /// The number of places.
    pub size: u32,
}

impl Lane {
    /// The build directory that the lane stands for, where it stands for one.
    #[must_use]
    pub fn build_dir(&self) -> Option<&str> {
        self.name.strip_prefix(BUILD_DIR_LANE)
    }

    /// Whether the lane stands for a build directory.
    #[must_use]
    pub fn is_build_dir(&self) -> bool {
        self.build_dir().is_some()
    }
}

/// One step of one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The step.
    pub step: &'static StepInfo,
    /// The variant.
    pub variant: VariantIx,
    /// Nodes that must have succeeded, or been skipped, before this one starts.
    pub needs: Vec<NodeIx>,
    /// Nodes that must have ended, with any outcome, before this one starts: they read what it overwrites.
    pub after: Vec<NodeIx>,
    /// Lanes, and how many places of each the node takes while it runs; never more than the lane has.
    pub lanes: Vec<(LaneIx, u32)>,
    /// The expected duration in milliseconds.
    pub millis: u64,
    /// Of that, the part until the state that it shares with other variants is in the shared-state cache.
    pub shared_millis: u64,
}

/// Heavy nodes that share cold state: built at once, each would make the same things. One of them leads the group; the
/// others wait until the shared state is in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColdGroup {
    /// The name of the shared state, for people.
    pub name: String,
    /// The members, in plan order.
    pub members: Vec<NodeIx>,
}

/// The expected durations of one variant's steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// The time until the heavy step has put the shared state into the cache, in milliseconds.
    pub shared_millis: u64,
    steps: Vec<(StepKind, u64)>,
}

impl Expected {
    /// The assumed durations of steps of which none was measured; the shared state is there after half of the
    /// heavy step.
    #[must_use]
    pub fn assumed(steps: &[&'static StepInfo]) -> Expected {
        let mut expected = Expected::default();
        for step in steps {
            expected.set(step.kind, step.assumed_millis);
            if step.heavy {
                expected.shared_millis = step.assumed_millis / 2;
            }
        }
        expected
    }

    /// The duration of a step in milliseconds; 0 where it is unknown.
    #[must_use]
    pub fn millis(&self, step: StepKind) -> u64 {
        let mut steps = self.steps.iter();
        steps
            .find(|(kind, _)| *kind == step)
            .map_or(0, |(_, millis)| *millis)
    }

    /// Sets the duration of a step in milliseconds.
    pub fn set(&mut self, step: StepKind, millis: u64) {
        match self.steps.iter_mut().find(|(kind, _)| *kind == step) {
            Some((_, known)) => *known = millis,
            None => self.steps.push((step, millis)),
        }
    }

    /// The same with the duration of a step set, in milliseconds.
    #[must_use]
    pub fn with(mut self, step: StepKind, millis: u64) -> Expected {
        self.set(step, millis);
        self
    }
}

/// The resources that a plan is made for: sizes of lanes, build directories, and forecasts of each variant's build.
///
/// Lists are parallel to the variants; `needs` and `expected` are empty where nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// Builds at the same time (`-j`).
    pub builds: u32,
    /// Captures at the same time.
    pub captures: u32,
    /// KAS_BUILD_DIR of each variant.
    pub build_dirs: Vec<String>,
    /// The processor time and memory that all builds may use together; unlimited where it is absent.
    pub capacity: Option<BuildCapacity>,
    /// The need of each variant's build.
    pub needs: Vec<ResourceNeed>,
    /// The durations of each variant's steps.
    pub expected: Vec<Expected>,
    /// Variants that share state which is not in the cache yet, with the name of what they share.
    pub cold: Vec<(String, Vec<VariantIx>)>,
    /// The processor cores to divide between running builds as BitBake threads; absent where builds keep their
    /// own setting.
    pub cores: Option<u32>,
}

/// The work of a run, its order and its limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The variants of the nodes, shared with the matrix.
    pub variants: Arc<Vec<Variant>>,
    /// The steps of the plan's scope, in the order of a variant.
    pub steps: Vec<&'static StepInfo>,
    /// The nodes; each stands after those that it needs or follows.
    pub nodes: Vec<Node>,
    /// The lanes.
    pub lanes: Vec<Lane>,
    /// Heavy nodes of which one leads.
    pub groups: Vec<ColdGroup>,
    /// As in [`Resources`].
    pub cores: Option<u32>,
    /// Weights by node. Of nodes that are equally far along in their variant, the one of the greatest weight starts
    /// first, and of equal weights the first in plan order. Empty: all weights are equal.
    pub order: Vec<u64>,
}

impl Plan {
    /// The node at an index.
    #[must_use]
    pub fn node(&self, ix: NodeIx) -> &Node {
        &self.nodes[ix.0]
    }

    /// The id of a node.
    #[must_use]
    pub fn id(&self, ix: NodeIx) -> NodeId<'_> {
        self.id_of(self.node(ix))
    }

    /// The id of a node of this plan.
    #[must_use]
    pub fn id_of(&self, node: &Node) -> NodeId<'_> {
        NodeId {
            step: node.step.kind,
            variant: &self.variant(node.variant).key,
        }
    }

    /// The ids of nodes.
    #[must_use]
    pub fn ids(&self, nodes: &[NodeIx]) -> Vec<String> {
        nodes.iter().map(|&ix| self.id(ix).to_string()).collect()
    }

    /// The variant at an index.
    #[must_use]
    pub fn variant(&self, ix: VariantIx) -> &Variant {
        &self.variants[ix.0]
    }

    /// The lane at an index.
    #[must_use]
    pub fn lane(&self, ix: LaneIx) -> &Lane {
        &self.lanes[ix.0]
    }

    /// The lanes that a node takes, by name, each with its number of places.
    #[must_use]
    pub fn taken(&self, node: &Node) -> Vec<(&str, u32)> {
        let mut taken: Vec<(&str, u32)> = node
            .lanes
            .iter()
            .map(|&(lane, places)| (self.lane(lane).name.as_str(), places))
            .collect();
        taken.sort_unstable();
        taken
    }

    /// The build directory that a node uses, and its lane.
    #[must_use]
    pub fn build_dir(&self, node: &Node) -> Option<(LaneIx, &str)> {
        let mut lanes = node.lanes.iter();
        lanes.find_map(|&(lane, _)| Some((lane, self.lane(lane).build_dir()?)))
    }

    /// How many nodes like this one fit into the lanes that variants share.
    #[must_use]
    pub fn at_once(&self, node: &Node) -> u32 {
        let lanes = node.lanes.iter();
        lanes
            .filter(|(lane, _)| !self.lane(*lane).is_build_dir())
            .map(|&(lane, places)| self.lane(lane).size / places.max(1))
            .min()
            .unwrap_or(1)
    }
}
