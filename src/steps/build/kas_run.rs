//! One run of kas for a variant: prepares the directories, starts kas, follows it to its end, and makes sure that no
//! container and no process of it is left.
//!
//! Runs kas to build, and to clean a build directory; [`kas_dump`](super::kas_dump) runs it to report. Knows nothing of what a build leaves in the records.

use std::time::Duration;

use crate::bitbake::console::Mounts;
use crate::bitbake::silence::History;
use crate::exec::{Process, ProcessControl};
use crate::settings::VariantDirs;
use crate::state::records::measures::Measure;
use crate::steps::build::claim::{Claim, undo_of};
use crate::steps::build::command::{KasCommand, KasTask};
use crate::steps::build::ending::{EndEvidence, kernel_kills};
use crate::steps::build::output_listener::OutputListener;
use crate::steps::build::services::BuildServices;
use crate::steps::build::stopping::stop;
use crate::steps::build::usage::UsageSampler;
use crate::steps::build::{directories, log_path, silence};
use crate::steps::context::StepContext;
use crate::steps::result::StepResult;
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
            KasTask::Clean => log.with_extension("clean.log"),
            KasTask::Build | KasTask::Dump => log,
        };
        let kas = KasCommand::new(cx, services, &dirs, task)
            .map_err(|word| StepResult::error(&word, Some(word.hint())))?;
        let leader = services.warm_up.enter(&cx.stop).await;
        if cx.is_stopped() {
            return Err(StepResult::cancelled());
        }
        let mut undo = undo_of(&kas, &tools.runner, &build_dir);
        let mut claim = Claim::new((cx, services), task, &kas, &mut undo).await?;
        let kills_before = kernel_kills();
        let spec = kas.spec(&tools.project_dir, Some(&log), &cx.settings);
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
