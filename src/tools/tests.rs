//! Every message about tools.

mod engines;
pub(crate) mod made;
mod others;
