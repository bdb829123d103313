//! The document that `plan --format json` prints: variants, releases and nodes, in the order of
//! variants.toml after expansion. Knows nothing of how it is printed.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::arch::Arch;
use super::matrix::{Artifact, Asset, Release, Variant, VariantKey};
use super::plan::{NodeIx, Plan, StepKind, VariantIx};
use super::skip::{Skip, Skips};

/// The version of the document.
pub const PLAN_SCHEMA: u32 = 1;

/// The document. What is unset is left out; nothing is null.
#[derive(Debug, Serialize)]
pub struct PlanDocument<'p> {
    schema: u32,
    variants: Variants<'p>,
    releases: Vec<ReleaseEntry<'p>>,
    nodes: Nodes<'p>,
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
struct VariantEntry<'p> {
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
    needs: Ids<'p>,
    #[serde(skip_serializing_if = "Ids::is_empty")]
    after: Ids<'p>,
    lanes: Taken<'p>,
}

/// The ids of nodes.
#[derive(Debug)]
struct Ids<'p>(&'p Plan, &'p [NodeIx]);

impl Ids<'_> {
    fn is_empty(&self) -> bool {
        self.1.is_empty()
    }
}

impl Serialize for Ids<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|&ix| self.0.node(ix).id.as_str()))
    }
}

/// The variants as the document lists them, each made when it is printed.
#[derive(Debug)]
pub struct Variants<'p>(&'p [Variant]);

impl Serialize for Variants<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|variant| VariantEntry {
            id: &variant.key.id,
            machine: &variant.key.machine,
            arch: variant.arch,
            axes: Axes(&variant.axes),
            kas: variant.kas_chain(),
            attr_path: &variant.attr_path,
            artifacts: &variant.artifacts,
        }))
    }
}

/// The nodes of a plan, each entry made when it is printed.
#[derive(Debug)]
struct Nodes<'p>(&'p Plan);

impl Serialize for Nodes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.0;
        serializer.collect_seq(plan.nodes.iter().map(|node| NodeEntry {
            id: &node.id,
            step: node.step,
            variant: &plan.variant(node.variant).key,
            needs: Ids(plan, &node.needs),
            after: Ids(plan, &node.after),
            lanes: Taken(plan.taken(node)),
        }))
    }
}

/// The variants alone, as the document lists them.
#[must_use]
pub fn variants(variants: &[Variant]) -> Variants<'_> {
    Variants(variants)
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
    PlanDocument {
        schema: PLAN_SCHEMA,
        variants: variants(&plan.variants),
        releases: releases.iter().map(release).collect(),
        nodes: Nodes(plan),
        skips: skips.iter().map(skip).collect(),
    }
}
