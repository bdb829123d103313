//! Skips: the variants of a plan that are not built because nothing changed. How that is found out is elsewhere.

use std::collections::BTreeMap;

use crate::plan::{NodeIx, Plan, VariantIx};

/// Why a variant is not built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The input key, equal to that of the last build.
    pub key: String,
    /// The reason, for people.
    pub why: String,
}

/// The skipped variants of a plan. Settled before the first step starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skips(BTreeMap<VariantIx, Skip>);

impl Skips {
    /// No skips: every variant is built.
    #[must_use]
    pub fn none() -> Skips {
        Skips::default()
    }

    /// Skips a variant.
    pub fn insert(&mut self, variant: VariantIx, skip: Skip) {
        self.0.insert(variant, skip);
    }

    /// Takes a skip back: the variant is built.
    pub fn remove(&mut self, variant: VariantIx) {
        self.0.remove(&variant);
    }

    /// Why a variant is skipped; `None` where it is built.
    #[must_use]
    pub fn get(&self, variant: VariantIx) -> Option<&Skip> {
        self.0.get(&variant)
    }

    /// Whether a variant is skipped.
    #[must_use]
    pub fn contains(&self, variant: VariantIx) -> bool {
        self.0.contains_key(&variant)
    }

    /// The number of skipped variants.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether every variant is built.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The skipped variants in plan order, with their reasons.
    pub fn iter(&self) -> impl Iterator<Item = (VariantIx, &Skip)> {
        self.0.iter().map(|(&variant, skip)| (variant, skip))
    }

    /// The nodes of skipped variants in plan order, with their reasons.
    pub fn nodes<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (NodeIx, &'a Skip)> {
        plan.nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| Some((NodeIx(index), self.get(node.variant)?)))
    }
}
