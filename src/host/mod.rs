//! The host as builds find it: cores, memory, memory pressure, control groups, disk space, mounts;
//! which user runs, and whether this is WSL.
//!
//! Almost everything is read from `/proc` and `/sys`; [`open_files`] alone changes something, a
//! limit of this process. Knows neither tools nor builds. The CI service is detected in
//! `settings/surroundings.rs`, since it sets defaults.

pub mod capacity;
pub mod cgroup;
pub mod disk_space;
pub mod freezer;
pub mod identity;
pub mod meter;
pub mod mountinfo;
pub mod open_files;
pub mod pressure;
#[cfg(test)]
mod tests;
pub mod usage;
