//! The dump after a build: kas reports how it reads the variant's kas files, in the environment that built.
//!
//! Runs strictly after BitBake has ended, under the lane of the build directory, because `kas dump` checks out the
//! repositories. Its output is neither logged nor kept: it has the values of `env` in the clear.

use std::fs;
use std::time::Duration;

use thiserror::Error;

use crate::bitbake::console::ConsoleLine;
use crate::event::OutputStream;
use crate::exec::{
    Process, ProcessControl, ProcessEnd, ProcessOutcome, ProcessOutput, ProcessSpec, StopCause,
};
use crate::kas::dump::{KasDump, KasDumpReader};
use crate::steps::build::claim::{Claim, undo_of};
use crate::steps::build::command::{KasCommand, KasTask};
use crate::steps::build::services::BuildServices;
use crate::steps::build::stopping::stop;
use crate::steps::context::StepContext;

/// Why there is no dump.
#[derive(Debug, Error)]
pub(super) enum NoDump {
    #[error("the inputs before the build are unknown")]
    NotNeeded,
    #[error("the run was stopped before `kas dump` had ended")]
    Stopped,
    #[error("`kas dump` did not end within {0} s (setting `dump-timeout`)")]
    TimedOut(u64),
    #[error("`kas dump` ended with exit code {0}")]
    Failed(i32),
    #[error("`kas dump` was ended from outside")]
    Ended,
    #[error("`kas dump` printed something else")]
    NotADump,
    #[error("`kas dump` was not started: {0}")]
    NotStarted(String),
}

/// Runs `kas dump` for the variant. On return, no container and no process of it is left.
///
/// # Errors
/// Why kas reports nothing.
pub(super) async fn dump(cx: &StepContext, services: &BuildServices) -> Result<KasDump, NoDump> {
    if cx.is_stopped() {
        return Err(NoDump::Stopped);
    }
    let (tools, dirs, task) = (&services.tools, cx.dirs(), KasTask::Dump);
    let not_started = |why: String| match cx.is_stopped() {
        true => NoDump::Stopped,
        false => NoDump::NotStarted(why),
    };
    let kas = KasCommand::new(cx, services, &dirs, task)
        .map_err(|word| NoDump::NotStarted(word.to_string()))?;
    let build_dir = fs::canonicalize(&dirs.build).unwrap_or(dirs.build);
    let mut undo = undo_of(&kas, &tools.runner, &build_dir);
    let claim = Claim::new((cx, services), task, &kas, &mut undo).await;
    let claim = claim.map_err(|result| not_started(result.why.unwrap_or_default()))?;
    let limit = cx.settings.dump_timeout.value;
    let spec = ProcessSpec {
        time_limit: Some(Duration::from_secs(limit)),
        ..kas.spec(&tools.project_dir, None, &cx.settings)
    };
    let spawned = cx.blocking(move || Process::spawn(spec)).await;
    let spawned = match spawned {
        Ok(spawned) => spawned.map_err(|error| error.to_string()),
        Err(result) => Err(result.why.unwrap_or_default()),
    };
    let process = match spawned {
        Ok(process) => process,
        Err(why) => {
            claim.release().await;
            return Err(not_started(why));
        }
    };
    undo.pgid = Some(process.pgid());
    let noted = claim.add_group(process.pgid()).await;
    let stop_timeout = Duration::from_secs(cx.settings.stop_timeout.value);
    let stop_command = kas.graceful_stop(&tools.runner, stop_timeout);
    let control = ProcessControl::new(cx.stop.clone()).with_action(Box::new(|level| {
        Box::pin(stop(level, &stop_command, &undo, stop_timeout))
    }));
    let mut reader = KasDumpReader::default();
    let finish = process
        .run(|output| hear(&mut reader, output), control)
        .await;
    // Nothing but people reads the entry.
    let _ = noted.await;
    if finish.is_success() {
        claim.release().await;
    } else {
        claim.undo(&undo, finish).await;
    }
    result(finish, reader, limit)
}

fn hear(reader: &mut KasDumpReader, output: ProcessOutput<'_>) {
    match output {
        ProcessOutput::Line(OutputStream::Stdout, line) => reader.stdout(line),
        ProcessOutput::Line(OutputStream::Stderr, line) => {
            let line = ConsoleLine::new(line);
            if line.level.is_some() {
                reader.log(&line.text);
            }
        }
        ProcessOutput::LogFailed(..) => {}
    }
}

fn result(finish: ProcessOutcome, reader: KasDumpReader, limit: u64) -> Result<KasDump, NoDump> {
    match (finish.stopped, finish.ended) {
        (Some(StopCause::TimeLimit), _) => Err(NoDump::TimedOut(limit)),
        (Some(StopCause::Asked), _) => Err(NoDump::Stopped),
        (None, ProcessEnd::Exited(0)) => reader.finish().ok_or(NoDump::NotADump),
        (None, ProcessEnd::Exited(code)) => Err(NoDump::Failed(code)),
        (None, ProcessEnd::Signalled(_) | ProcessEnd::Unkillable) => Err(NoDump::Ended),
    }
}
