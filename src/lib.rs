//! isar-build-all: builds, captures and registers every image of an ISAR variant matrix.
//!
//! Data goes one way: `settings` and `variants.toml` become a [`model::matrix::Matrix`], the matrix a
//! [`model::plan::Plan`], the scheduler walks the plan, steps do the work, and every change of state
//! is a [`model::event::Event`] that reporters draw. `docs/architecture.md` is the map.

pub mod caches;
pub mod cli;
pub mod commands;
pub mod exec;
pub mod files;
pub mod inputs;
pub mod inspect;
pub mod kas;

pub mod load;
pub mod machine;
pub mod model;
pub mod recovery;
pub mod report;
pub mod scheduler;
pub mod settings;
pub mod skipping;
pub mod state;
pub mod steps;
pub mod store;
pub mod tools;
pub mod watchdog;
pub mod wsl;
