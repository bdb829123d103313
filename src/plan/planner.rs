//! The planner: makes the nodes, edges and lanes of a plan.

use std::collections::HashMap;
use std::sync::Arc;

use crate::matrix::Variant;
use crate::plan::resource_need::BuildCapacity;
use crate::plan::{
    BUILD_DIR_LANE, BuildDirUse, ColdGroup, Lane, LaneIx, LaneSize, Node, NodeIx, Plan, Resources,
    Scope, StepInfo, VariantIx,
};

impl Plan {
    /// Plans those of `steps` that `scope` contains, for each variant in the order of `steps`.
    ///
    /// A variant's nodes are chained. Variants share nothing but lanes, unless they build in one directory: then a
    /// node that writes to it waits for the last node that reads from it. [`Plan::order`] stays empty.
    #[must_use]
    pub fn new(
        steps: &[&'static StepInfo],
        variants: impl Into<Arc<Vec<Variant>>>,
        scope: Scope,
        resources: &Resources,
    ) -> Plan {
        let variants = variants.into();
        let steps: Vec<&'static StepInfo> = steps
            .iter()
            .copied()
            .filter(|step| step.is_in(scope))
            .collect();
        let mut planner = Planner {
            lanes: Lanes::with_capacity(variants.len() + 8),
            build_dirs: HashMap::with_capacity(variants.len()),
            nodes: Vec::with_capacity(variants.len() * steps.len()),
            leaders: Vec::with_capacity(variants.len()),
            machine: None,
            resources,
        };
        let own_lanes = planner.lanes_of(&steps, &variants);
        for (index, (variant, build_dir)) in variants.iter().zip(&resources.build_dirs).enumerate()
        {
            planner.leaders.push(None);
            let mut previous = None;
            for (step, lanes) in steps.iter().copied().zip(&own_lanes) {
                if (step.applies)(variant) {
                    let node = planner.node(step, VariantIx(index), build_dir, lanes);
                    previous = Some(planner.chain(node, previous));
                }
            }
        }
        Plan {
            groups: planner.groups(),
            variants,
            steps,
            nodes: planner.nodes,
            lanes: planner.lanes.all,
            cores: resources.cores,
            order: Vec::new(),
        }
    }
}

/// The lanes so far.
struct Lanes {
    all: Vec<Lane>,
}

impl Lanes {
    fn with_capacity(count: usize) -> Lanes {
        Lanes {
            all: Vec::with_capacity(count),
        }
    }

    fn add(&mut self, name: String, size: u32) -> LaneIx {
        self.all.push(Lane { name, size });
        LaneIx(self.all.len() - 1)
    }

    /// The lane of this name. Looks through all: only for the few that are not build directories.
    fn find_or_add(&mut self, name: &str, size: u32) -> LaneIx {
        match self.all.iter().position(|lane| lane.name == name) {
            Some(index) => LaneIx(index),
            None => self.add(name.to_owned(), size),
        }
    }
}

/// The lanes of processor and memory.
struct MachineLanes {
    capacity: BuildCapacity,
    cpu: LaneIx,
    memory: Option<LaneIx>,
}

/// A build directory while a plan is made.
struct BuildDir {
    lane: LaneIx,
    /// The last node that reads from it.
    last_reader: Option<NodeIx>,
}

struct Planner<'r> {
    lanes: Lanes,
    machine: Option<MachineLanes>,
    build_dirs: HashMap<&'r str, BuildDir>,
    nodes: Vec<Node>,
    /// The heavy node of each variant.
    leaders: Vec<Option<NodeIx>>,
    resources: &'r Resources,
}

impl<'r> Planner<'r> {
    /// Adds the lanes of steps that some variant has, and then those of the machine. Returns each step's own.
    fn lanes_of(&mut self, steps: &[&'static StepInfo], variants: &[Variant]) -> Vec<Vec<LaneIx>> {
        let own = steps
            .iter()
            .map(|step| {
                if !variants.iter().any(step.applies) {
                    return Vec::new();
                }
                let lanes = step.lanes.iter();
                lanes
                    .map(|lane| self.lanes.find_or_add(lane.name, self.size(lane.size)))
                    .collect()
            })
            .collect();
        let capacity = self.resources.capacity;
        if let Some(capacity) = capacity.filter(|_| steps.iter().any(|step| step.heavy)) {
            self.machine = Some(MachineLanes {
                capacity,
                cpu: self.lanes.add("cpu".to_owned(), capacity.cpu),
                memory: capacity
                    .memory
                    .map(|size| self.lanes.add("memory".to_owned(), size)),
            });
        }
        own
    }

    fn size(&self, size: LaneSize) -> u32 {
        match size {
            LaneSize::Fixed(size) => size,
            LaneSize::Builds => self.resources.builds,
            LaneSize::Captures => self.resources.captures,
        }
        .max(1)
    }

    /// The node of a step for a variant, without the edge from the step before it.
    fn node(
        &mut self,
        step: &'static StepInfo,
        variant: VariantIx,
        build_dir: &'r str,
        own_lanes: &[LaneIx],
    ) -> Node {
        let mut lanes = Vec::with_capacity(own_lanes.len() + if step.heavy { 3 } else { 1 });
        lanes.extend(own_lanes.iter().map(|&lane| (lane, 1)));
        if step.heavy
            && let Some(machine) = &self.machine
        {
            let need = self.resources.needs.get(variant.0).copied();
            let need = need.unwrap_or_default().within(machine.capacity);
            lanes.push((machine.cpu, need.cpu));
            lanes.extend(machine.memory.map(|lane| (lane, need.memory)));
        }
        let mut after = None;
        if step.build_dir != BuildDirUse::None {
            let here = NodeIx(self.nodes.len());
            let dir = self.build_dir(build_dir);
            lanes.push((dir.lane, 1));
            match step.build_dir {
                BuildDirUse::Writes => after = dir.last_reader,
                _ => dir.last_reader = Some(here),
            }
        }
        let expected = self.resources.expected.get(variant.0);
        let shared = expected.filter(|_| step.heavy);
        Node {
            step,
            variant,
            needs: Vec::new(),
            after: after.into_iter().collect(),
            lanes,
            millis: expected.map_or(0, |expected| expected.millis(step.kind)),
            shared_millis: shared.map_or(0, |expected| expected.shared_millis),
        }
    }

    fn build_dir(&mut self, name: &'r str) -> &mut BuildDir {
        let lanes = &mut self.lanes;
        self.build_dirs.entry(name).or_insert_with(|| BuildDir {
            lane: lanes.add([BUILD_DIR_LANE, name].concat(), 1),
            last_reader: None,
        })
    }

    /// Adds a node behind the one before it in its variant.
    fn chain(&mut self, mut node: Node, previous: Option<NodeIx>) -> NodeIx {
        let here = NodeIx(self.nodes.len());
        node.needs = previous.into_iter().collect();
        if node.step.heavy {
            self.leaders[node.variant.0] = Some(here);
        }
        self.nodes.push(node);
        here
    }

    /// The groups of heavy nodes that share cold state. A variant that shares it with none has no group.
    fn groups(&self) -> Vec<ColdGroup> {
        let cold = self.resources.cold.iter();
        let groups = cold.map(|(name, variants)| ColdGroup {
            name: name.clone(),
            members: variants
                .iter()
                .filter_map(|variant| *self.leaders.get(variant.0)?)
                .collect(),
        });
        groups.filter(|group| group.members.len() > 1).collect()
    }
}
