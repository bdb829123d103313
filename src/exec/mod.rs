//! Running programs: one real [`Process`] with lines, limits and ways to stop, short commands, and the watcher
//! that stops a run's programs if the run itself is killed.

mod blocking;
mod group;
mod lines;
mod logfile;
mod process;
mod short;
mod short_command;
mod stop;
mod undo;
pub mod watcher;

pub use crate::exec::blocking::{BlockingError, blocking, blocking_within};
pub(crate) use crate::exec::group::{end_marked, lives, marked, proc_stat};
pub use crate::exec::lines::{Lines, MAX_LINE};
pub use crate::exec::process::{
    ExecError, Process, ProcessControl, ProcessEnd, ProcessOutcome, ProcessOutput, ProcessSpec,
    StopAction, StopCause,
};
pub use crate::exec::short::{ask, quiet};
pub use crate::exec::short_command::{CommandError, CommandOutput, ShortCommand};
pub use crate::exec::stop::{KillHandle, KillSignal, StopLevel, StopSignal, kill_switch};
pub use crate::exec::undo::{ASK_LIMIT, Undo, UndoLimits, Undone};
