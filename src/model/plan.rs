//! The plan: a directed acyclic graph of steps over the matrix, with the lanes that each needs.
//!
//! Pure data; printing and running it are elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::matrix::Variant;
use super::need::{Capacity, Need};
use super::order::longest_first;
use super::skip::Skips;

/// The kinds of step that a plan is made of. A new one is a file in `src/steps/` and a word here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Run kas-container for the variant.
    Build,
    /// Take the deployed files under their unique names, hashing them.
    Capture,
    /// Make what is declared to be made of them: compressed copies and block maps.
    Compress,
    /// Put them in the store and write their hashes.
    Register,
}

impl StepKind {
    /// The word as it stands in node ids and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StepKind::Build => "build",
            StepKind::Capture => "capture",
            StepKind::Compress => "compress",
            StepKind::Register => "register",
        }
    }
}

/// A node's place in [`Plan::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeIx(pub usize);

/// A variant's place in [`Plan::variants`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VariantIx(pub usize);

/// A lane's place in [`Plan::lanes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneIx(pub usize);

/// A counted resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its name, unique in the plan.
    pub name: String,
    /// How many places it has.
    pub size: u32,
}

impl Lane {
    /// Whether it is a build directory's.
    #[must_use]
    pub fn is_build_dir(&self) -> bool {
        self.name.starts_with("builddir:")
    }
}

/// One step of one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `step:machine/id`, unique in the plan.
    pub id: String,
    /// What is done.
    pub step: StepKind,
    /// For which variant.
    pub variant: VariantIx,
    /// The nodes that must have succeeded or been skipped before.
    pub needs: Vec<NodeIx>,
    /// The nodes that must have ended before, however they ended: they read what this one overwrites.
    pub after: Vec<NodeIx>,
    /// Lanes and how many of the places of each the node takes while it runs, never more than there are.
    pub lanes: Vec<(LaneIx, u32)>,
    /// How long it is expected to run, in milliseconds.
    pub millis: u64,
}

/// Builds that would make the same things one beside the other: what they share is not in the shared
/// state cache yet. One of them leads; the others follow when what they share is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they share, for people.
    pub name: String,
    /// Their builds, in plan order.
    pub members: Vec<NodeIx>,
}

/// How long the steps of a variant are expected to run, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expected {
    /// Its build.
    pub build: u64,
    /// Of that, until what it shares with others is in the shared state cache.
    pub shared: u64,
    /// Its capture.
    pub capture: u64,
    /// What is made of what was captured, where anything is.
    pub compress: u64,
    /// Its registration.
    pub register: u64,
}

/// Which part of the main job is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Build, capture and register.
    #[default]
    Full,
    /// Capture what lies in the deploy directory, then register it (`--rename-existing`).
    FromDeploy,
    /// Register what lies in the output directory (`--hash-only`).
    FromOutput,
}

/// The sizes that the lanes of a plan have, where each variant builds, and what is known of its builds.
/// The lists are parallel to the variants; where the last three are empty nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// Builds at the same time (`-j`).
    pub builds: u32,
    /// Captures at the same time.
    pub captures: u32,
    /// KAS_BUILD_DIR of each variant.
    pub build_dirs: Vec<String>,
    /// What the builds may take of the machine together; nothing limits them where there is none.
    pub capacity: Option<Capacity>,
    /// What each build takes of it.
    pub needs: Vec<Need>,
    /// How long each variant's steps take.
    pub expected: Vec<Expected>,
    /// Variants whose shared state is cold, by what they share.
    pub cold: Vec<(String, Vec<VariantIx>)>,
    /// The processor cores that are divided between the builds that run, as the number of BitBake's
    /// threads; none where nothing is divided.
    pub cores: Option<u32>,
}

/// What is to be done, in which order, under which limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The variants that the nodes speak of, shared with the matrix.
    pub variants: Arc<Vec<Variant>>,
    /// The nodes; a node's needs stand before it.
    pub nodes: Vec<Node>,
    /// The lanes.
    pub lanes: Vec<Lane>,
    /// Builds of which one leads.
    pub groups: Vec<Group>,
    /// How long the steps of each variant take; empty where that is not known.
    pub expected: Vec<Expected>,
    /// As in [`Resources`].
    pub cores: Option<u32>,
    /// By node: among those equally far on the greatest starts first, and among equals the first. Where it is
    /// empty all are equal.
    pub order: Vec<u64>,
}

/// The lanes that every plan has, in this order.
const BUILD: LaneIx = LaneIx(0);
const CAPTURE: LaneIx = LaneIx(1);
const REGISTER: LaneIx = LaneIx(2);

/// A build directory while a plan is made.
struct BuildDir {
    lane: LaneIx,
    /// The last capture from it.
    captured: Option<NodeIx>,
}

fn add(lanes: &mut Vec<Lane>, name: String, size: u32) -> LaneIx {
    lanes.push(Lane { name, size });
    LaneIx(lanes.len() - 1)
}

impl Plan {
    /// Plans the steps of `scope` for each variant.
    ///
    /// A variant's nodes are chained; different variants share nothing but lanes, unless they build in
    /// one directory: then each builds after the one before it was captured.
    #[must_use]
    pub fn new(
        variants: impl Into<Arc<Vec<Variant>>>,
        scope: Scope,
        resources: &Resources,
    ) -> Plan {
        let variants = variants.into();
        let steps: &[StepKind] = match scope {
            Scope::Full => &[
                StepKind::Build,
                StepKind::Capture,
                StepKind::Compress,
                StepKind::Register,
            ],
            Scope::FromDeploy | Scope::FromOutput => {
                &[StepKind::Capture, StepKind::Compress, StepKind::Register]
            }
        };
        let mut lanes = Vec::with_capacity(variants.len() + 5);
        add(&mut lanes, "build".to_owned(), resources.builds.max(1));
        add(&mut lanes, "capture".to_owned(), resources.captures.max(1));
        add(&mut lanes, "register".to_owned(), 1);
        let makes = |variant: &Variant| variant.products().next().is_some();
        // One at a time: it takes several threads, and memory that must not add up.
        let compress = variants
            .iter()
            .any(makes)
            .then(|| add(&mut lanes, "compress".to_owned(), 1));
        let machine = resources
            .capacity
            .filter(|_| scope == Scope::Full)
            .map(|all| {
                let cpu = add(&mut lanes, "cpu".to_owned(), all.cpu);
                let memory = all
                    .memory
                    .map(|size| add(&mut lanes, "memory".to_owned(), size));
                (all, cpu, memory)
            });
        let mut nodes = Vec::with_capacity(variants.len() * steps.len());
        // The first node of each variant.
        let mut firsts = Vec::with_capacity(variants.len());
        let mut build_dirs: HashMap<&str, BuildDir> = HashMap::with_capacity(variants.len());
        for (index, (variant, build_dir)) in variants.iter().zip(&resources.build_dirs).enumerate()
        {
            let build_dir = build_dirs
                .entry(build_dir)
                .or_insert_with_key(|name| BuildDir {
                    lane: add(&mut lanes, ["builddir:", name].concat(), 1),
                    captured: None,
                });
            let expected = resources.expected.get(index).copied().unwrap_or_default();
            let mut previous = None;
            firsts.push(NodeIx(nodes.len()));
            let makes = makes(variant);
            for &step in steps
                .iter()
                .filter(|&&step| makes || step != StepKind::Compress)
            {
                let here = NodeIx(nodes.len());
                let mut after = None;
                let (own, millis) = match step {
                    StepKind::Build => {
                        after = build_dir.captured;
                        (BUILD, expected.build)
                    }
                    StepKind::Capture => {
                        build_dir.captured = Some(here);
                        (CAPTURE, expected.capture)
                    }
                    StepKind::Compress => (compress.unwrap_or(REGISTER), expected.compress),
                    StepKind::Register => (REGISTER, expected.register),
                };
                let mut taken = Vec::with_capacity(match step {
                    StepKind::Build => 4,
                    StepKind::Capture => 2,
                    StepKind::Compress | StepKind::Register => 1,
                });
                taken.push((own, 1));
                if step == StepKind::Build
                    && let Some((all, cpu, memory)) = machine
                {
                    let need = resources.needs.get(index).copied().unwrap_or_default();
                    let need = need.within(all);
                    taken.push((cpu, need.cpu));
                    taken.extend(memory.map(|lane| (lane, need.memory)));
                }
                if step == StepKind::Build
                    || (step == StepKind::Capture && scope != Scope::FromOutput)
                {
                    taken.push((build_dir.lane, 1));
                }
                nodes.push(Node {
                    id: [
                        step.as_str(),
                        ":",
                        &variant.key.machine,
                        "/",
                        &variant.key.id,
                    ]
                    .concat(),
                    step,
                    variant: VariantIx(index),
                    needs: previous.into_iter().collect(),
                    after: after.into_iter().collect(),
                    lanes: taken,
                    millis,
                });
                previous = Some(here);
            }
        }
        let groups = match scope {
            Scope::Full => groups(&resources.cold, &firsts),
            Scope::FromDeploy | Scope::FromOutput => Vec::new(),
        };
        let mut plan = Plan {
            variants,
            nodes,
            lanes,
            groups,
            expected: resources.expected.clone(),
            cores: resources.cores,
            order: Vec::new(),
        };
        plan.order = longest_first(&plan, &Skips::none());
        plan
    }

    /// The lane at a place.
    #[must_use]
    pub fn lane(&self, ix: LaneIx) -> &Lane {
        &self.lanes[ix.0]
    }

    /// The names of the lanes that a node takes, each with how many places, in the order of the alphabet.
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

    /// The node at a place.
    #[must_use]
    pub fn node(&self, ix: NodeIx) -> &Node {
        &self.nodes[ix.0]
    }

    /// The ids of nodes.
    #[must_use]
    pub fn ids(&self, nodes: &[NodeIx]) -> Vec<String> {
        nodes.iter().map(|&ix| self.node(ix).id.clone()).collect()
    }

    /// The variant at a place.
    #[must_use]
    pub fn variant(&self, ix: VariantIx) -> &Variant {
        &self.variants[ix.0]
    }
}

/// The builds of groups of variants; who is alone follows nobody.
fn groups(cold: &[(String, Vec<VariantIx>)], firsts: &[NodeIx]) -> Vec<Group> {
    cold.iter()
        .filter(|(_, variants)| variants.len() > 1)
        .map(|(name, variants)| Group {
            name: name.clone(),
            members: variants.iter().map(|ix| firsts[ix.0]).collect(),
        })
        .collect()
}
