//! Start ranks: the order in which ready nodes start. Pure.

use std::cmp::Reverse;

use crate::plan::NodeIx;

/// The rank of a node: first those that are furthest along in their variant, so that a finished build is captured
/// and registered before the next build loads the machine; then by the weight of the plan's order; then in plan
/// order.
pub(crate) type StartRank = (Reverse<usize>, Reverse<u64>, NodeIx);
