//! Input keys: the inputs of a variant's build, and the decision whether it must be built again.
//!
//! [`gather`] reads kas files, layers, patches, programs and what the settings name; [`key`] makes one hash of all
//! of it; [`skip_decision`] compares that hash with the recorded one and asks [`proof`] whether the registered
//! files are still there; [`observer`] checks that inputs stayed the same during a build, and that kas reads
//! them as the gatherer does. This room opens no
//! database: callers load and store the [`record`]s.

mod agreement;
pub mod cache;
mod chain;
pub mod checkout;
mod gather;
pub mod key;
pub mod listings;
pub mod observer;
pub mod proof;
pub mod record;
pub mod skip_decision;
pub mod tree;

pub use crate::inputs::agreement::Disagreement;
pub use crate::inputs::cache::{HashCache, ObservedStamps};
pub use crate::inputs::gather::{GatheredInputs, Gatherer, ToolIdentity, image_name};
