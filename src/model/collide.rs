//! Collision classes of a plan: variants that build in one directory, where one's build overwrites, or
//! cleans away, what another deployed. Pure.
//!
//! A plan is sound when within a class every capture but the last has ended before the next build
//! begins. Two captures that are not kept apart by a build in between would take one file for two
//! variants.

use std::collections::HashMap;

use thiserror::Error;

use super::matrix::VariantKey;
use super::plan::{LaneIx, NodeIx, Plan, StepKind, VariantIx};

/// What the lane of a build directory begins with.
const LANE: &str = "builddir:";

/// Two variants that would take one file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{first} and {second} would both take {deploy_name} in {build_dir}, which is of one of them"
)]
pub struct Meeting {
    /// The one.
    pub first: VariantKey,
    /// The other.
    pub second: VariantKey,
    /// The file.
    pub deploy_name: String,
    /// Where.
    pub build_dir: String,
}

impl Meeting {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("say whose it is: --variant {}", self.first)
    }
}

/// An edge that a shared build directory makes: this build begins when that capture has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collision<'p> {
    /// The capture.
    pub capture: NodeIx,
    /// The build that overwrites what it takes.
    pub build: NodeIx,
    /// The directory.
    pub build_dir: &'p str,
}

/// The edges between variants that build in one directory, in plan order.
#[must_use]
pub fn collisions(plan: &Plan) -> Vec<Collision<'_>> {
    let mut found = Vec::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        let Some((_, build_dir)) = build_dir(plan, NodeIx(index)) else {
            continue;
        };
        found.extend(node.after.iter().map(|&capture| Collision {
            capture,
            build: NodeIx(index),
            build_dir,
        }));
    }
    found
}

/// The first two variants whose captures could meet.
#[must_use]
pub fn meeting(plan: &Plan) -> Option<Meeting> {
    let mut captures = vec![0_usize; plan.lanes.len()];
    for (index, node) in plan.nodes.iter().enumerate() {
        if node.step == StepKind::Capture
            && let Some((lane, _)) = build_dir(plan, NodeIx(index))
        {
            captures[lane.0] += 1;
        }
    }
    let mut build_of: HashMap<VariantIx, NodeIx> = HashMap::new();
    let mut last_capture: HashMap<LaneIx, NodeIx> = HashMap::new();
    // Where captures of one directory follow each other unordered: whose each file would be.
    let mut takers: HashMap<(LaneIx, &str), VariantIx> = HashMap::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        let here = NodeIx(index);
        let Some((lane, dir)) = build_dir(plan, here) else {
            continue;
        };
        // Most directories are of one variant, which meets nobody.
        if captures[lane.0] < 2 {
            continue;
        }
        match node.step {
            StepKind::Build => {
                build_of.insert(node.variant, here);
            }
            StepKind::Capture => {
                let ordered = last_capture.insert(lane, here).is_none_or(|previous| {
                    build_of
                        .get(&node.variant)
                        .is_some_and(|&build| plan.node(build).after.contains(&previous))
                });
                let variant = plan.variant(node.variant);
                for artifact in &variant.artifacts {
                    let file = (lane, artifact.deploy_name.as_str());
                    match takers.insert(file, node.variant) {
                        Some(other) if !ordered => {
                            return Some(Meeting {
                                first: plan.variant(other).key.clone(),
                                second: variant.key.clone(),
                                deploy_name: artifact.deploy_name.clone(),
                                build_dir: dir.to_owned(),
                            });
                        }
                        _ => {}
                    }
                }
            }
            StepKind::Compress | StepKind::Register => {}
        }
    }
    None
}

fn build_dir(plan: &Plan, node: NodeIx) -> Option<(LaneIx, &str)> {
    plan.node(node).lanes.iter().find_map(|&(lane, _)| {
        let dir = plan.lane(lane).name.strip_prefix(LANE)?;
        Some((lane, dir))
    })
}
