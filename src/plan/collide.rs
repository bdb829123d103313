//! Collisions: variants that build in one directory, where a build overwrites or removes what another variant
//! deployed. Pure.
//!
//! A plan is sound when in every build directory each read but the last has ended before the next write begins. Two
//! reads without a write between them could take one file for two variants.

use std::collections::HashMap;

use thiserror::Error;

use crate::matrix::VariantKey;
use crate::plan::{BuildDirUse, LaneIx, NodeIx, Plan, VariantIx};

/// Two variants that would capture one file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{first} and {second} would both capture {deploy_name} from {build_dir}, but it belongs to one of them"
)]
pub struct CaptureClash {
    /// One of them.
    pub first: VariantKey,
    /// The other.
    pub second: VariantKey,
    /// The file.
    pub deploy_name: String,
    /// The build directory.
    pub build_dir: String,
}

impl CaptureClash {
    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> String {
        format!(
            "select the one that it belongs to: --variant {}",
            self.first
        )
    }
}

/// An edge between variants that share a build directory: the writer starts when the reader has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollisionEdge<'p> {
    /// The node that reads from the directory: a capture.
    pub reader: NodeIx,
    /// The node that overwrites what it reads: a build.
    pub writer: NodeIx,
    /// The directory.
    pub build_dir: &'p str,
}

/// The edges between variants that share a build directory, in plan order.
#[must_use]
pub fn collisions(plan: &Plan) -> Vec<CollisionEdge<'_>> {
    let mut found = Vec::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        if let Some((_, build_dir)) = plan.build_dir(node) {
            found.extend(node.after.iter().map(|&reader| CollisionEdge {
                reader,
                writer: NodeIx(index),
                build_dir,
            }));
        }
    }
    found
}

/// The first two variants that could capture one file.
#[must_use]
pub fn capture_clash(plan: &Plan) -> Option<CaptureClash> {
    let mut readers = vec![0_usize; plan.lanes.len()];
    for node in &plan.nodes {
        if node.step.build_dir == BuildDirUse::Reads
            && let Some((lane, _)) = plan.build_dir(node)
        {
            readers[lane.0] += 1;
        }
    }
    let mut search = ClashSearch {
        plan,
        writer_of: HashMap::new(),
        last_reader: HashMap::new(),
        takers: HashMap::new(),
    };
    plan.nodes.iter().enumerate().find_map(|(index, node)| {
        // Most directories are of one variant.
        let (lane, _) = plan
            .build_dir(node)
            .filter(|(lane, _)| readers[lane.0] > 1)?;
        search.visit(NodeIx(index), lane)
    })
}

struct ClashSearch<'p> {
    plan: &'p Plan,
    /// The node of each variant that writes to its build directory.
    writer_of: HashMap<VariantIx, NodeIx>,
    last_reader: HashMap<LaneIx, NodeIx>,
    /// The variant that captures a file, by directory and deploy name.
    takers: HashMap<(LaneIx, &'p str), VariantIx>,
}

impl ClashSearch<'_> {
    fn visit(&mut self, here: NodeIx, lane: LaneIx) -> Option<CaptureClash> {
        let node = self.plan.node(here);
        match node.step.build_dir {
            BuildDirUse::None => return None,
            BuildDirUse::Writes => {
                self.writer_of.insert(node.variant, here);
                return None;
            }
            BuildDirUse::Reads => {}
        }
        let ordered = self.last_reader.insert(lane, here).is_none_or(|previous| {
            let writer = self.writer_of.get(&node.variant);
            writer.is_some_and(|&writer| self.plan.node(writer).after.contains(&previous))
        });
        let variant = self.plan.variant(node.variant);
        for artifact in &variant.artifacts {
            let file = (lane, artifact.deploy_name.as_str());
            if let Some(other) = self.takers.insert(file, node.variant)
                && !ordered
            {
                let build_dir = self.plan.lane(lane).build_dir();
                return Some(CaptureClash {
                    first: self.plan.variant(other).key.clone(),
                    second: variant.key.clone(),
                    deploy_name: artifact.deploy_name.clone(),
                    build_dir: build_dir.unwrap_or_default().to_owned(),
                });
            }
        }
        None
    }
}
