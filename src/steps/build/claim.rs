//! The claim of a run of kas: what a process of kas holds while it runs, and what ends it when it does not end itself.

use std::path::Path;
use std::time::Duration;

use crate::exec::watcher::UndoGuard;
use crate::exec::{ProcessEnd, ProcessOutcome, Undo, UndoLimits, Undone};
use crate::state::journal::Entry;
use crate::steps::build::command::{KasCommand, KasTask};
use crate::steps::build::services::BuildServices;
use crate::steps::build::sync_guard::BuildSyncGuard;
use crate::steps::context::StepContext;
use crate::steps::result::StepResult;
use crate::tools::Runner;

/// The resources that a run of kas holds: the watcher's guard, an open entry in the journal, and the guard against
/// hanging syncs.
pub(super) struct Claim<'a> {
    cx: &'a StepContext,
    name: String,
    pub(super) sync: BuildSyncGuard,
    guard: Option<UndoGuard>,
}

impl<'a> Claim<'a> {
    /// Claims everything that has to be released when kas ends. Adds the command that mounts drives again to `undo`.
    ///
    /// # Errors
    /// The step's result: kas must not start.
    pub(super) async fn new(
        (cx, services): (&'a StepContext, &BuildServices),
        task: KasTask,
        kas: &KasCommand,
        undo: &mut Undo,
    ) -> Result<Claim<'a>, StepResult> {
        let tools = &services.tools;
        let sync = BuildSyncGuard::new(cx, tools, task, &kas.name);
        undo.after = sync.undo_command();
        cx.intend(started_entry(cx, kas, undo)).await?;
        let mut claim = Claim {
            cx,
            name: kas.name.clone(),
            sync,
            guard: None,
        };
        if let Some(watcher) = &tools.watcher {
            match watcher.guard(&kas.name, undo.clone()).await {
                Ok(guard) => claim.guard = Some(guard),
                Err(error) => cx.warn(
                    format!("{error}: this build would outlive this run if it is killed"),
                    Some("`isar-build-all recover` stops what was left".to_owned()),
                ),
            }
        }
        if claim.guard.is_some() {
            claim.sync.watched();
        }
        if let Err(result) = claim.sync.before_build().await {
            claim.release_guard().await;
            return Err(result);
        }
        Ok(claim)
    }

    /// Tells watcher and journal the process group. The journal is not waited for, because kas already writes: the
    /// returned task has to end before the claim is released.
    pub(super) async fn add_group(&self, pgid: i32) -> tokio::task::JoinHandle<()> {
        let (cx, name) = (self.cx.clone(), self.name.clone());
        let noted = tokio::spawn(async move {
            let run = cx.run.clone();
            cx.note(Entry::BuildGroup { run, name, pgid }).await;
        });
        if let Some(guard) = &self.guard {
            let group = Undo {
                pgid: Some(pgid),
                ..Undo::default()
            };
            // The death of the watcher is reported by the run.
            let _ = guard.add(group).await;
        }
        noted
    }

    /// Nothing of the build is left.
    pub(super) async fn release(mut self) {
        self.sync.end().await;
        self.release_guard().await;
    }

    async fn release_guard(self) {
        if let Some(guard) = self.guard {
            guard.release();
        }
        self.cx.note(ended_entry(self.cx, self.name)).await;
    }

    /// Ends whatever is left of a build that did not succeed, and releases the claim if nothing is.
    pub(super) async fn undo(mut self, undo: &Undo, finish: ProcessOutcome) {
        let undone = undo.run(limits_after(finish)).await;
        // Only now, when nothing of the build can reach a drive.
        self.sync.end().await;
        if undone.gone {
            self.release_guard().await;
            return;
        }
        // A guard that is dropped and not released makes the watcher undo the build once more.
        drop(self.guard);
        let Undone { notes, .. } = undone;
        self.cx.warn(
            format!(
                "something of this build may still run: {}",
                notes.join("; ")
            ),
            (!undo.stop.is_empty()).then(|| format!("`{}`", undo.stop.join(" "))),
        );
    }
}

/// The commands and marks that end the build, also when this process is dead.
pub(super) fn undo_of(kas: &KasCommand, runner: &Runner, build_dir: &Path) -> Undo {
    match runner {
        Runner::Container { engine, .. } => engine.undo(&kas.name),
        // kas gives BitBake a process group of its own, and BitBake's server a session. The server's command line
        // names the lock of its build directory.
        Runner::Kas(_) => Undo {
            marks: vec![
                kas.mark(),
                build_dir.join("bitbake.lock").display().to_string(),
            ],
            ..Undo::default()
        },
    }
}

/// The journal entry with what ends this build. Without its process group: when this process is dead, the number may
/// come to belong to others. The mark in the environment and the container's name identify the build.
fn started_entry(cx: &StepContext, kas: &KasCommand, undo: &Undo) -> Entry {
    let mut undo = Undo {
        pgid: None,
        // Unmounted drives have an entry of their own.
        after: Vec::new(),
        ..undo.clone()
    };
    let mark = kas.mark();
    if !undo.marks.contains(&mark) {
        undo.marks.push(mark);
    }
    Entry::BuildStarted {
        run: cx.run.clone(),
        variant: cx.variant.key.clone(),
        name: kas.name.clone(),
        undo,
    }
}

fn ended_entry(cx: &StepContext, name: String) -> Entry {
    Entry::BuildEnded {
        run: cx.run.clone(),
        name,
    }
}

/// How long to look for what may be left. After kas-container ended by itself, no container can appear any more; when
/// it was killed, the engine may be about to create one.
fn limits_after(finish: ProcessOutcome) -> UndoLimits {
    let by_itself = matches!(finish.ended, ProcessEnd::Exited(_)) && finish.stopped.is_none();
    UndoLimits {
        settle: Duration::from_millis(if by_itself { 0 } else { 1500 }),
        // Long, because nothing waits for it and a busy machine is slow.
        ask: Duration::from_secs(10),
        total: Duration::from_secs(60),
    }
}
