//! Every reporter on the same hand-made runs.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
#![allow(unreachable_pub, reason = "a test's modules have no outside")]

mod ci;
mod hub;
mod live;
mod pictures;
mod records;
mod script;
