//! The document that `plan --format json` prints: variants, releases and nodes, in the order of
//! variants.toml after expansion. Knows nothing of how it is printed.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::arch::Arch;
use super::matrix::{Artifact, Asset, Release, Variant, VariantKey};
use super::plan::{Node, NodeIx, Plan, StepKind, VariantIx};
use super::skip::{Skip, Skips};

/// The version of the document.
pub const PLAN_SCHEMA: u32 = 1;

/// The document. What is unset is left out; nothing is null.
#[derive(Debug, Serialize)]
pub struct PlanDocument<'p> {
    schema: u32,
    variants: Vec<VariantEntry<'p>>,
    releases: Vec<ReleaseEntry<'p>>,
    nodes: Vec<NodeEntry<'p>>,
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

/// A variant as the document lists it.
#[derive(Debug, Serialize)]
pub struct VariantEntry<'p> {
    id: &'p str,
    machine: &'p str,
    arch: Arch,
    axes: Axes<'p>,
    kas: String,
    attr_path: &'p [String],
    artifacts: &'p [Artifact],
}

#[derive(Debug)]
struct Axes<'p>(&'p [(String, String)]);

impl Serialize for Axes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (axis, value) in self.0 {
            map.serialize_entry(axis, value)?;
        }
        map.end()
    }
}

#[derive(Debug)]
struct Taken<'p>(Vec<(&'p str, u32)>);

impl Serialize for Taken<'_> {
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
struct NodeEntry<'p> {
    id: &'p str,
    step: StepKind,
    variant: &'p VariantKey,
    needs: Vec<&'p str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    after: Vec<&'p str>,
    lanes: Taken<'p>,
}

/// The variants alone, as the document lists them.
#[must_use]
pub fn variants(variants: &[Variant]) -> Vec<VariantEntry<'_>> {
    variants
        .iter()
        .map(|variant| VariantEntry {
            id: &variant.key.id,
            machine: &variant.key.machine,
            arch: variant.arch,
            axes: Axes(&variant.axes),
            kas: variant.kas_chain(),
            attr_path: &variant.attr_path,
            artifacts: &variant.artifacts,
        })
        .collect()
}

/// The document of a plan, the releases of its matrix and what a run would skip.
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
    let ids = |nodes: &[NodeIx]| -> Vec<&'p str> {
        nodes.iter().map(|&ix| plan.node(ix).id.as_str()).collect()
    };
    let node = |node: &'p Node| NodeEntry {
        id: &node.id,
        step: node.step,
        variant: &plan.variant(node.variant).key,
        needs: ids(&node.needs),
        after: ids(&node.after),
        lanes: Taken(plan.taken(node)),
    };
    PlanDocument {
        schema: PLAN_SCHEMA,
        variants: variants(&plan.variants),
        releases: releases.iter().map(release).collect(),
        nodes: plan.nodes.iter().map(node).collect(),
        skips: skips.iter().map(skip).collect(),
    }
}
