//! Which variants of a plan are not built because nothing has changed. Knows nothing of how that is
//! found out.

use std::collections::BTreeMap;

use super::plan::{NodeIx, Plan, VariantIx};

/// Why a variant is not built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The input key, which is that of its last build.
    pub key: String,
    /// The reason, for people.
    pub why: String,
}

/// The variants of a plan that are skipped: known before the first step starts, and never changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skips(BTreeMap<VariantIx, Skip>);

impl Skips {
    /// None.
    #[must_use]
    pub fn none() -> Skips {
        Skips::default()
    }

    /// Says that a variant is skipped.
    pub fn insert(&mut self, variant: VariantIx, skip: Skip) {
        self.0.insert(variant, skip);
    }

    /// Takes one back: it is built.
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

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether everything is built.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each with its variant, in plan order.
    pub fn iter(&self) -> impl Iterator<Item = (VariantIx, &Skip)> {
        self.0.iter().map(|(&variant, skip)| (variant, skip))
    }

    /// The nodes of the skipped variants, in plan order, each with why.
    pub fn nodes<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (NodeIx, &'a Skip)> {
        plan.nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| Some((NodeIx(index), self.get(node.variant)?)))
    }
}
