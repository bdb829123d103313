//! One run of kas for a variant: prepares the directories, starts kas, follows it to its end, and makes sure that no
//! container and no process of it is left.
//!
//! Runs kas to build, and to clean a build directory. Knows nothing of what a build leaves in the records.

use std::path::Path;
use std::time::Duration;

use crate::bitbake::console::Mounts;
use crate::bitbake::silence::History;
use crate::exec::watcher::UndoGuard;
use crate::exec::{Process, ProcessControl, ProcessEnd, ProcessOutcome, Undo, UndoLimits, Undone};
use crate::settings::VariantDirs;
use crate::state::journal::Entry;
use crate::state::records::measures::Measure;
use crate::steps::build::command::{KasCommand, KasTask};
use crate::steps::build::ending::{EndEvidence, kernel_kills};
use crate::steps::build::output_listener::OutputListener;
use crate::steps::build::services::BuildServices;
use crate::steps::build::stopping::stop;
use crate::steps::build::sync_guard::BuildSyncGuard;
use crate::steps::build::usage::UsageSampler;
use crate::steps::build::{directories, log_path, silence};
use crate::steps::context::StepContext;
use crate::steps::result::StepResult;
use crate::tools::Runner;
use crate::wsl::image_guard::ImageCueListener;

/// A run of kas that has ended, or was not started.
#[derive(Debug, Clone)]
pub struct KasRun {
    /// The result.
    pub result: StepResult,
    /// Whether a root directory was restored from shared state instead of being made.
    pub restored_root: bool,
    /// The measurements.
    pub measure: Measure,
    /// The duration in seconds; absent where kas was not started.
    pub seconds: Option<f64>,
    /// The longest silences of the tasks, where the build is good.
    pub silences: Option<History>,
}

impl KasRun {
    fn not_started(result: StepResult) -> KasRun {
        KasRun {
            result,
            restored_root: false,
            measure: Measure::default(),
            seconds: None,
            silences: None,
        }
    }
}

/// Builds the variant. `history` has the longest silences of its earlier builds. On return, no container and no process
/// of the build is left.
pub async fn build(cx: &StepContext, services: &BuildServices, history: History) -> KasRun {
    let task = KasTask::Build;
    let run = KasInvocation { cx, services, task };
    run.run(history).await.unwrap_or_else(KasRun::not_started)
}

/// Removes what builds left in the variant's build directory; shared state and downloads stay. On return, no container
/// and no process of it is left.
pub(super) async fn clean(cx: &StepContext, services: &BuildServices) -> StepResult {
    let task = KasTask::Clean;
    let run = KasInvocation { cx, services, task };
    match run.run(History::default()).await {
        Ok(run) => run.result,
        Err(result) => result,
    }
}

struct KasInvocation<'a> {
    cx: &'a StepContext,
    services: &'a BuildServices,
    task: KasTask,
}

impl KasInvocation<'_> {
    /// # Errors
    /// The result where kas was not started.
    async fn run(&self, history: History) -> Result<KasRun, StepResult> {
        let KasInvocation { cx, services, task } = *self;
        let (tools, dirs) = (&services.tools, cx.dirs());
        if cx.is_stopped() {
            return Err(StepResult::cancelled());
        }
        let build_dir = directories::prepare(cx, &dirs, task).await?;
        let log = log_path(&cx.settings, &cx.run, &cx.variant.key);
        let log = match task {
            KasTask::Build => log,
            KasTask::Clean => log.with_extension("clean.log"),
        };
        let kas = KasCommand::new(cx, services, &dirs, task)
            .map_err(|word| StepResult::error(&word, Some(word.hint())))?;
        let leader = services.warm_up.enter(&cx.stop).await;
        if cx.is_stopped() {
            return Err(StepResult::cancelled());
        }
        let mut undo = undo_of(&kas, &tools.runner, &build_dir);
        let mut claim = self.claim(&kas, &mut undo).await?;
        let kills_before = kernel_kills();
        let spec = kas.spec(&tools.project_dir, &log, &cx.settings);
        // It creates the log. A process that starts after a kill has left this call is killed when it is dropped.
        let spawned = cx.blocking(move || Process::spawn(spec)).await;
        let spawned = spawned
            .and_then(|spawned| spawned.map_err(|error| StepResult::error(&error, error.hint())));
        let process = match spawned {
            Ok(process) => process,
            Err(result) => {
                claim.release().await;
                return Err(result);
            }
        };
        undo.pgid = Some(process.pgid());
        let noted = claim.add_group(process.pgid()).await;
        let sampler = UsageSampler::start(cx, tools, &kas.name);
        let mut listener = OutputListener::new(cx, leader, sampler);
        let stop_timeout = Duration::from_secs(cx.settings.stop_timeout.value);
        let stop_command = kas.graceful_stop(&tools.runner, stop_timeout);
        let watch = silence::watch(cx, &tools.runner, &kas, &undo, history);
        let control = ProcessControl::new(cx.stop.clone())
            .with_kill(watch.kill_signal())
            .with_action(Box::new(|level| {
                Box::pin(stop(level, &stop_command, &undo, stop_timeout))
            }));
        let (mut image_cues, cues) = ImageCueListener::new();
        let work = async {
            let finish = process
                .run(
                    |output| listener.hear(output, &watch, &mut image_cues),
                    control,
                )
                .await;
            // The sync guard follows the cues until their sender is gone.
            drop(image_cues);
            (finish, listener.seconds())
        };
        let ((finish, seconds), ()) = tokio::join!(work, claim.sync.follow(cues));
        let heard = listener.end().await;
        let evidence = EndEvidence {
            finish,
            program: kas.program_name(),
            kernel_kills: kernel_kills().saturating_sub(kills_before),
            log: &log,
            mounts: mounts(&dirs, kas.is_container()),
        };
        let hang = watch
            .killed()
            .map(|report| StepResult::failed(report.why).hint(report.hint));
        let result = hang
            .or_else(|| claim.sync.failure())
            .unwrap_or_else(|| evidence.result(&heard.collector));
        let silences = result.is_good().then(|| watch.longest());
        watch.end().await;
        // A panic in writing the entry loses it, and nothing reads it but people.
        let _ = noted.await;
        if result.is_good() {
            claim.release().await;
        } else {
            claim.undo(&undo, finish).await;
        }
        Ok(KasRun {
            result,
            restored_root: heard.restored_root,
            measure: heard.measure,
            seconds: Some(seconds),
            silences,
        })
    }

    /// Claims everything that has to be released when the build ends.
    async fn claim(&self, kas: &KasCommand, undo: &mut Undo) -> Result<Claim<'_>, StepResult> {
        let KasInvocation { cx, services, task } = *self;
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
}

/// The resources that a build holds while it runs: the watcher's guard, an open entry in the journal, and the guard against hanging
/// syncs.
struct Claim<'a> {
    cx: &'a StepContext,
    name: String,
    sync: BuildSyncGuard,
    guard: Option<UndoGuard>,
}

impl Claim<'_> {
    /// Tells watcher and journal the process group. The journal is not waited for, because kas already writes: the
    /// returned task has to end before the claim is released.
    async fn add_group(&self, pgid: i32) -> tokio::task::JoinHandle<()> {
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
    async fn release(mut self) {
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
    async fn undo(mut self, undo: &Undo, finish: ProcessOutcome) {
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
fn undo_of(kas: &KasCommand, runner: &Runner, build_dir: &Path) -> Undo {
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

/// Where the paths that BitBake names are on the host; absent without a container.
fn mounts(dirs: &VariantDirs, is_container: bool) -> Option<Mounts> {
    is_container.then(|| {
        let pairs = [
            ("/work", &dirs.work),
            ("/build", &dirs.build),
            ("/downloads", &dirs.dl),
            ("/sstate", &dirs.sstate),
        ];
        Mounts::new(
            pairs.map(|(inside, outside)| (inside.to_owned(), outside.display().to_string())),
        )
    })
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
