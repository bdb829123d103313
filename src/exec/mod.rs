//! Running programs: one real `Process` with its lines, limits and ways to end, and the watcher that
//! ends what we started when we ourselves are gone. Knows nothing of what the programs are for.

mod group;
mod lines;
mod logfile;
mod process;
mod short;
mod stop;
mod undo;
pub mod watcher;

pub(crate) use group::{end_marked, lives, marked};
pub use lines::{Lines, MAX_LINE};
pub use process::{
    Control, Ended, ExecError, Finish, Output, Process, Spec, StopAction, StopCause,
};
pub use short::{ask, quiet};
pub use stop::{StopLevel, StopSignal};
pub use undo::{ASK_LIMIT, Limits, Undo, Undone};
