//! Tests of probing and of every message about tools.

mod engines;
pub(crate) mod made;
mod others;
