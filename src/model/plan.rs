//! The plan: a directed acyclic graph of steps over the matrix, with the lanes that each needs.
//!
//! Pure data; printing and running it are elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::matrix::Variant;

/// The kinds of step that a plan is made of. A new one is a file in `src/steps/` and a word here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Run kas-container for the variant.
    Build,
    /// Take the deployed files under their unique names, hashing them.
    Capture,
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
    /// Lane and how many of its places the node takes while it runs.
    pub lanes: BTreeMap<String, u32>,
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

/// The sizes that the lanes of a plan have, and where each variant builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    /// Builds at the same time (`-j`).
    pub builds: u32,
    /// Captures at the same time.
    pub captures: u32,
    /// KAS_BUILD_DIR of each variant, parallel to the variants.
    pub build_dirs: Vec<String>,
}

/// What is to be done, in which order, under which limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The variants that the nodes speak of.
    pub variants: Vec<Variant>,
    /// The nodes; a node's needs stand before it.
    pub nodes: Vec<Node>,
    /// Lane and its size.
    pub lanes: BTreeMap<String, u32>,
}

impl Plan {
    /// Plans the steps of `scope` for each variant.
    ///
    /// A variant's nodes are chained; different variants share nothing but lanes, unless they build in
    /// one directory: then each builds after the one before it was captured. `resources.build_dirs` is
    /// parallel to `variants`.
    #[must_use]
    pub fn new(variants: Vec<Variant>, scope: Scope, resources: &Resources) -> Plan {
        let steps: &[StepKind] = match scope {
            Scope::Full => &[StepKind::Build, StepKind::Capture, StepKind::Register],
            Scope::FromDeploy | Scope::FromOutput => &[StepKind::Capture, StepKind::Register],
        };
        let mut lanes = BTreeMap::from([
            ("build".to_owned(), resources.builds.max(1)),
            ("capture".to_owned(), resources.captures.max(1)),
            ("register".to_owned(), 1),
        ]);
        let mut nodes = Vec::with_capacity(variants.len() * steps.len());
        let mut captured_in: BTreeMap<&str, NodeIx> = BTreeMap::new();
        for (index, (variant, build_dir)) in variants.iter().zip(&resources.build_dirs).enumerate()
        {
            let build_dir_lane = format!("builddir:{build_dir}");
            lanes.insert(build_dir_lane.clone(), 1);
            let mut previous = None;
            for &step in steps {
                let mut taken = BTreeMap::from([(step.as_str().to_owned(), 1)]);
                if step == StepKind::Build
                    || (step == StepKind::Capture && scope != Scope::FromOutput)
                {
                    taken.insert(build_dir_lane.clone(), 1);
                }
                let here = NodeIx(nodes.len());
                let after = match step {
                    StepKind::Build => captured_in.get(build_dir.as_str()).copied(),
                    StepKind::Capture => {
                        captured_in.insert(build_dir, here);
                        None
                    }
                    StepKind::Register => None,
                };
                nodes.push(Node {
                    id: format!("{}:{}", step.as_str(), variant.key),
                    step,
                    variant: VariantIx(index),
                    needs: previous.into_iter().collect(),
                    after: after.into_iter().collect(),
                    lanes: taken,
                });
                previous = Some(here);
            }
        }
        Plan {
            variants,
            nodes,
            lanes,
        }
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
