//! The document of `plan --format json`: variants, releases and nodes in the order of variants.toml after expansion.
//! Entries are made while they are serialised, so a large plan needs no copy of itself. Printing is elsewhere.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::base::arch::Arch;
use crate::matrix::{Artifact, Asset, Release, Variant, VariantKey};
use crate::plan::skip::{Skip, Skips};
use crate::plan::{NodeId, NodeIx, Plan, StepKind, VariantIx};

/// The version of the document.
pub const PLAN_SCHEMA: u32 = 1;

/// The document. Unset values are left out; nothing is null.
#[derive(Debug, Serialize)]
pub struct PlanDocument<'p> {
    schema: u32,
    variants: VariantList<'p>,
    releases: Vec<ReleaseEntry<'p>>,
    nodes: NodeList<'p>,
    /// The variants that a run would skip; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skips: Vec<SkipEntry<'p>>,
}

#[derive(Debug, Serialize)]
struct SkipEntry<'p> {
    variant: &'p VariantKey,
    key: &'p str,
    why: &'p str,
}

#[derive(Debug, Serialize)]
struct VariantEntry<'p> {
    id: &'p str,
    machine: &'p str,
    arch: Arch,
    axes: AxisMap<'p>,
    kas: String,
    attr_path: &'p [String],
    artifacts: &'p [Artifact],
}

#[derive(Debug)]
struct AxisMap<'p>(&'p [(String, String)]);

impl Serialize for AxisMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (axis, value) in self.0 {
            map.serialize_entry(axis, value)?;
        }
        map.end()
    }
}

#[derive(Debug)]
struct LaneMap<'p>(Vec<(&'p str, u32)>);

impl Serialize for LaneMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

#[derive(Debug, Serialize)]
struct ReleaseEntry<'p> {
    id: &'p str,
    machine: &'p str,
    assets: &'p [Asset],
}

#[derive(Debug, Serialize)]
struct PlanNodeEntry<'p> {
    id: NodeId<'p>,
    step: StepKind,
    variant: &'p VariantKey,
    needs: IdList<'p>,
    #[serde(skip_serializing_if = "IdList::is_empty")]
    after: IdList<'p>,
    lanes: LaneMap<'p>,
}

#[derive(Debug)]
struct IdList<'p>(&'p Plan, &'p [NodeIx]);

impl IdList<'_> {
    fn is_empty(&self) -> bool {
        self.1.is_empty()
    }
}

impl Serialize for IdList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|&ix| self.0.id(ix)))
    }
}

/// The variants as the document lists them.
#[derive(Debug)]
pub struct VariantList<'p>(&'p [Variant]);

impl Serialize for VariantList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|variant| VariantEntry {
            id: &variant.key.id,
            machine: &variant.key.machine,
            arch: variant.arch,
            axes: AxisMap(&variant.axes),
            kas: variant.kas_chain(),
            attr_path: &variant.attr_path,
            artifacts: &variant.artifacts,
        }))
    }
}

#[derive(Debug)]
struct NodeList<'p>(&'p Plan);

impl Serialize for NodeList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.0;
        serializer.collect_seq(plan.nodes.iter().map(|node| PlanNodeEntry {
            id: plan.id_of(node),
            step: node.step.kind,
            variant: &plan.variant(node.variant).key,
            needs: IdList(plan, &node.needs),
            after: IdList(plan, &node.after),
            lanes: LaneMap(plan.taken(node)),
        }))
    }
}

/// The variants alone, as the document lists them.
#[must_use]
pub fn variants(variants: &[Variant]) -> VariantList<'_> {
    VariantList(variants)
}

/// The document of a plan, the releases of its matrix, and what a run would skip.
#[must_use]
pub fn document<'p>(plan: &'p Plan, releases: &'p [Release], skips: &'p Skips) -> PlanDocument<'p> {
    let skip = |(ix, skip): (VariantIx, &'p Skip)| SkipEntry {
        variant: &plan.variant(ix).key,
        key: &skip.key,
        why: &skip.why,
    };
    let release = |release: &'p Release| ReleaseEntry {
        id: &release.key.id,
        machine: &release.key.machine,
        assets: &release.assets,
    };
    PlanDocument {
        schema: PLAN_SCHEMA,
        variants: variants(&plan.variants),
        releases: releases.iter().map(release).collect(),
        nodes: NodeList(plan),
        skips: skips.iter().map(skip).collect(),
    }
}
