//! Connects the silence watch to a build: which processes belong to it, and how root can look at them.

use std::path::PathBuf;
use std::time::Duration;

use crate::bitbake::silence::History;
use crate::exec::Undo;
use crate::steps::build::command::KasCommand;
use crate::steps::context::StepContext;
use crate::tools::Runner;
use crate::watchdog::inspector::{BuildProcesses, ProcessInspector};
use crate::watchdog::silence_watch::{SilenceWatch, SilenceWatchConfig};

/// Starts the watch over the build whose own process leads `undo`'s process group. `history` has the longest silences
/// of earlier builds of the variant.
pub(super) fn watch(
    cx: &StepContext,
    runner: &Runner,
    kas: &KasCommand,
    undo: &Undo,
    history: History,
) -> SilenceWatch {
    let config = SilenceWatchConfig {
        events: cx.events.clone(),
        node: cx.node.clone(),
        limit: Duration::from_secs(cx.settings.silence_limit.value),
        history,
        hung_build: cx.settings.hung_build.value,
    };
    SilenceWatch::start(config, inspector(runner, kas, undo))
}

fn inspector(runner: &Runner, kas: &KasCommand, undo: &Undo) -> ProcessInspector {
    let elevate = match runner {
        // Docker's containers belong to its daemon, which is root's although no sudo is involved.
        Runner::Container { .. } if undo.elevate.is_empty() => {
            vec!["sudo".to_owned(), "-n".to_owned()]
        }
        _ => undo.elevate.clone(),
    };
    ProcessInspector {
        program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("isar-build-all")),
        elevate,
        build: BuildProcesses {
            container: kas.first_process(runner),
            pid: undo.pgid.unwrap_or(0),
            marks: undo.marks.clone(),
        },
    }
}
