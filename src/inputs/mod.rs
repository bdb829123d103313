//! Gathers what the input key of a variant is made of: reads kas files, layers, patches, programs and
//! whatever else the settings name. Starts no process. Knows nothing of what the key is used for; what
//! counts and what does not is [`crate::model::key`]'s.
//!
//! Files are hashed once and looked at after that ([`cache`]); a gatherer remembers for as long as it
//! lives, so one that is to see changes is made anew.

pub mod cache;
mod checkout;
mod gather;
pub mod listing;
pub mod tree;

pub use cache::{HashCache, Seen};
pub use gather::{Gathered, Gatherer, Tools, image_name};
