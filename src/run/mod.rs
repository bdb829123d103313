//! One run: prepare, execute, finish.
//!
//! [`prepare`] takes the run's locks, recovers from killed runs and decides what to skip; [`execute`]
//! walks the plan; [`finish`] closes journal and records. Each phase hands the next a value that holds what is
//! known by then: [`planned`], prepared, executed. [`scheduler`] orders the nodes of the plan, [`executor`] does
//! their work.

mod announce;
mod caches;
mod execute;
pub mod executor;
mod finish;
pub mod forced;
pub(crate) mod forecast;
pub(crate) mod kas_schema;
pub(crate) mod lock;
mod no_op;
pub mod parts;
mod planned;
mod prepare;
mod publish;
mod reporters;
pub mod scheduler;
mod signals;
pub(crate) mod skips;
mod watching;

pub use crate::run::parts::Parts;

use crate::base::failure::Failure;
use crate::project::context::Context;
use crate::run::execute::execute;
use crate::run::finish::finish;
use crate::run::planned::PlannedRun;
use crate::run::prepare::{Preparation, prepare};

/// Builds, captures and registers what the command line selects. Returns the exit code.
///
/// # Errors
/// Causes that keep the run from starting; later failures are in the events and in the exit code.
pub fn run(context: &Context, parts: &Parts) -> Result<u8, Failure> {
    match prepare(PlannedRun::new(context, parts)?)? {
        Preparation::NothingToDo(no_op) => no_op.report().map(|()| 0),
        Preparation::Ready(run) => execute(*run).map(finish),
    }
}
