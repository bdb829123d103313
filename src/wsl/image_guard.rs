//! The image guard of one build: keeps `sync(2)` from hanging on a Windows drive while an image is
//! made (FM-6).
//!
//! It either checks that the seccomp profile applies in the build's container, or follows the build's output,
//! pauses the container as soon as an image task begins, has the drives unmounted, and resumes it once they are
//! proven to be gone. If they cannot be unmounted, the container is removed and the build fails: it never goes
//! on unguarded. The build step passes a [`GuardContext`].

mod image_cues;
mod pausing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::event::EventSink;
use crate::exec::{StopLevel, StopSignal, ask, quiet};
use crate::host::freezer::Freezer;
use crate::settings::SyncGuard;
use crate::tools::Engine;
use crate::wsl::drive::WindowsDrive;
use crate::wsl::drive_keeper::{LeaseError, UnmountLease};
use crate::wsl::guard_setup::GuardSetup;
pub use crate::wsl::image_guard::image_cues::{ImageCue, ImageCueListener};
use crate::wsl::image_guard::pausing::PauseResult;
use crate::wsl::ledger::LedgerError;
use crate::wsl::remount::RemountResult;
use crate::wsl::seccomp::is_filtered;
use crate::wsl::unmount::{UnmountDialog, UnmountError};

/// Time limit of the engine for pausing or resuming a container.
const ENGINE_LIMIT: Duration = Duration::from_secs(60);

/// Tries to remove a container and, once the run is to stop, to resume one.
const TRIES: u32 = 5;

/// Time between two checks whether a container was frozen after its engine gave up the pause.
const FREEZE_CHECK: Duration = Duration::from_secs(10);

/// Time limit of the engine for removing a container.
const REMOVAL_LIMIT: Duration = Duration::from_secs(20);

/// The connections of a guard to its build step.
#[derive(Clone)]
pub struct GuardContext {
    /// Where messages go.
    pub events: EventSink,
    /// The id of the build's node, for events.
    pub node: String,
    /// The run's stop.
    pub stop: StopSignal,
    /// Where unmounts are recorded.
    pub journal: Arc<dyn UnmountJournal>,
    /// The directory that contains `proc` and `sys`.
    pub system_root: PathBuf,
}

/// Records unmounts, so that a later run can mount the drives if this one dies. Called from threads
/// that may block.
pub trait UnmountJournal: Send + Sync {
    /// Records, synced, that `drives` are about to be unmounted for `build`, in the boot with id
    /// `boot`.
    ///
    /// # Errors
    /// The reason, as a sentence; the drives stay mounted then.
    fn unmounting(&self, build: &str, boot: &str, drives: &[WindowsDrive]) -> Result<(), String>;

    /// Records that `build` no longer needs the drives unmounted.
    fn remounted(&self, build: &str);
}

/// How the guard ended a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardFailure {
    /// The run was stopped.
    Stopped,
    /// The build cannot be guarded.
    Failed {
        /// The reason, a sentence.
        why: String,
        /// A remedy, as a command where there is one.
        hint: Option<String>,
    },
}

impl GuardFailure {
    fn failed(why: String) -> GuardFailure {
        GuardFailure::Failed { why, hint: None }
    }
}

impl From<&UnmountError> for GuardFailure {
    fn from(error: &UnmountError) -> GuardFailure {
        match error {
            UnmountError::Stopped => GuardFailure::Stopped,
            error => GuardFailure::Failed {
                why: format!("{error} (FM-6)"),
                hint: error.hint(),
            },
        }
    }
}

/// How `sync(2)` is made harmless in a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GuardMethod {
    /// By the seccomp profile; `seen` once the container was checked for it.
    Profile { seen: bool },
    /// By unmounting the drives whenever an image begins.
    UnmountForImage,
    /// By unmounting the drives for the whole build.
    UnmountForBuild,
}

/// The image guard of one build.
pub struct ImageGuard {
    context: GuardContext,
    setup: GuardSetup,
    /// None where kas runs without a container.
    engine: Option<Engine>,
    /// The name of the container and of the build.
    name: String,
    method: GuardMethod,
    lease: Option<UnmountLease>,
    /// Leases whose release failed. It is tried again when the build ends.
    unreleased: Vec<UnmountLease>,
    /// Whether the watcher ends the build if this process dies.
    is_watched: bool,
    failure: Option<GuardFailure>,
    /// The container was removed, or is to be: the guard does nothing more for it.
    given_up: bool,
    /// The engine gave up pausing the container, and the kernel may freeze it later.
    may_freeze: bool,
    /// Where the kernel shows whether the container is frozen; none until it is looked up.
    freezer: Option<Freezer>,
}

impl ImageGuard {
    /// A guard for the build `name`, whose container has the same name.
    #[must_use]
    pub fn new(
        context: GuardContext,
        setup: &GuardSetup,
        engine: Option<&Engine>,
        name: &str,
    ) -> ImageGuard {
        let method = match (engine, &setup.profile) {
            (Some(_), Some(_)) => GuardMethod::Profile { seen: false },
            (Some(_), None) => GuardMethod::UnmountForImage,
            (None, _) => GuardMethod::UnmountForBuild,
        };
        ImageGuard {
            context,
            setup: setup.clone(),
            engine: engine.cloned(),
            name: name.to_owned(),
            method,
            lease: None,
            unreleased: Vec::new(),
            is_watched: false,
            failure: None,
            given_up: false,
            may_freeze: false,
            freezer: None,
        }
    }

    /// The command that mounts the drives again if this process dies.
    #[must_use]
    pub fn undo_command(&self) -> Vec<String> {
        match &self.setup.keeper {
            Ok(keeper) => {
                let program = keeper.host().program.display().to_string();
                vec![program, "wsl".into(), "remount".into(), "--ours".into()]
            }
            Err(_) => Vec::new(),
        }
    }

    /// The watcher has taken charge of the build.
    pub fn watched(&mut self) {
        self.is_watched = true;
    }

    /// Before the build starts: unmounts the drives if image tasks cannot be intercepted.
    ///
    /// # Errors
    /// When the drives cannot be unmounted; the build must not start.
    pub async fn before_build(&mut self) -> Result<(), GuardFailure> {
        if self.method != GuardMethod::UnmountForBuild {
            return Ok(());
        }
        if let Err(error) = self.unmount().await {
            // The build has not started, so the watcher has nothing to end.
            self.is_watched = false;
            self.release_all().await;
            return Err(GuardFailure::from(&error));
        }
        Ok(())
    }

    /// Acts on cues until the listener is dropped.
    pub async fn follow(&mut self, mut cues: UnboundedReceiver<ImageCue>) {
        while let Some(cue) = self.next_cue(&mut cues).await {
            if self.given_up {
                continue;
            }
            match (cue, self.method) {
                (
                    ImageCue::ContainerRuns | ImageCue::ImageBegins,
                    GuardMethod::Profile { seen: false },
                ) => {
                    self.check_profile().await;
                    if self.method == GuardMethod::UnmountForImage && !self.given_up {
                        self.act_on(cue, &mut cues).await;
                    }
                }
                (cue, GuardMethod::UnmountForImage) => self.act_on(cue, &mut cues).await,
                (_, GuardMethod::Profile { .. } | GuardMethod::UnmountForBuild) => {}
            }
        }
    }

    /// The build has ended, and nothing of it is left: mounts the drives again.
    pub async fn end(&mut self) {
        // From here on the watcher does nothing for the build.
        self.is_watched = false;
        self.release_all().await;
    }

    /// How the guard ended the build, if it did.
    pub fn take_failure(&mut self) -> Option<GuardFailure> {
        self.failure.take()
    }

    async fn next_cue(&mut self, cues: &mut UnboundedReceiver<ImageCue>) -> Option<ImageCue> {
        while self.may_freeze && !self.given_up {
            match tokio::time::timeout(FREEZE_CHECK, cues.recv()).await {
                Ok(cue) => return cue,
                Err(_) => self.thaw().await,
            }
        }
        cues.recv().await
    }

    async fn act_on(&mut self, cue: ImageCue, cues: &mut UnboundedReceiver<ImageCue>) {
        match cue {
            ImageCue::ContainerRuns => self.try_pause().await,
            ImageCue::ImageBegins if self.lease.is_some() => {}
            ImageCue::ImageBegins => {
                let result = self.pause().await;
                self.image_begins(result).await;
            }
            ImageCue::ImagesEnd => self.images_end(cues).await,
        }
    }

    fn engine_command(&self, words: &[&str]) -> Vec<String> {
        self.engine
            .as_ref()
            .map(|engine| engine.command(words))
            .unwrap_or_default()
    }

    /// Checks inside the container that the profile applies: some engines drop it silently.
    async fn check_profile(&mut self) {
        let command = self.engine_command(&["exec", &self.name, "cat", "/proc/1/status"]);
        let why = match ask(&command, ENGINE_LIMIT).await {
            Ok(status) if is_filtered(&status, self.setup.outer_filters) => {
                self.method = GuardMethod::Profile { seen: true };
                return;
            }
            Ok(_) => "the engine did not apply the seccomp profile".to_owned(),
            Err(_) if self.has_ended().await => return,
            Err(why) => {
                format!("the container could not be checked for its seccomp profile: {why}")
            }
        };
        if self.setup.choice == SyncGuard::Seccomp {
            let hint = "set `wsl.sync-guard = \"unmount\"`, or update the container engine";
            self.give_up(Some(GuardFailure::Failed {
                why: format!("sync(2) can hang this build on a Windows drive (FM-6): {why}"),
                hint: Some(hint.to_owned()),
            }))
            .await;
            return;
        }
        self.say(
            format!("{why}; instead the Windows drives are unmounted while the image is made"),
            None,
        );
        self.method = GuardMethod::UnmountForImage;
    }

    /// Pauses the container once for a test: an engine that cannot pause must be known before an
    /// image begins.
    async fn try_pause(&mut self) {
        let why = match self.pause().await {
            PauseResult::Paused => return self.resume().await,
            PauseResult::GivenUp => return,
            PauseResult::Runs(why) => why,
        };
        if self.is_stopped() {
            return;
        }
        self.say(
            format!(
                "the container cannot be paused ({}): the Windows drives are unmounted until the build ends",
                last_line(&why)
            ),
            None,
        );
        self.method = GuardMethod::UnmountForBuild;
        match self.unmount().await {
            Ok(()) => self.thaw().await,
            Err(error) => self.refuse(&error).await,
        }
    }

    /// An image begins, and the container was asked to pause.
    async fn image_begins(&mut self, paused: PauseResult) {
        let is_paused = match paused {
            PauseResult::GivenUp => return,
            PauseResult::Paused => true,
            PauseResult::Runs(why) => {
                if !self.is_stopped() {
                    self.say(
                        format!(
                            "the container could not be paused ({}): its image task goes on while the Windows drives \
                             are unmounted",
                            last_line(&why)
                        ),
                        None,
                    );
                }
                false
            }
        };
        match self.unmount().await {
            // Also when the run is to stop: only a running container can stop by itself, and with
            // the drives gone nothing in it can hang.
            Ok(()) if is_paused => self.resume().await,
            Ok(()) => self.thaw().await,
            // The container stays paused: running, it could reach a drive.
            Err(error) => self.refuse(&error).await,
        }
    }

    /// No image task runs any more: the drives are mounted again. If another image begins
    /// meanwhile, the container is paused at once; afterwards sgdisk may already have met a drive.
    async fn images_end(&mut self, cues: &mut UnboundedReceiver<ImageCue>) {
        let mut releasing = std::pin::pin!(self.release());
        let mut paused = None;
        let mut is_open = true;
        let released = loop {
            tokio::select! {
                released = &mut releasing => break released,
                cue = cues.recv(), if is_open && paused.is_none() => match cue {
                    Some(ImageCue::ImageBegins) => paused = Some(self.pause().await),
                    Some(ImageCue::ContainerRuns | ImageCue::ImagesEnd) => {}
                    None => is_open = false,
                },
            }
        };
        self.report_released(released);
        if let Some(paused) = paused {
            self.image_begins(paused).await;
        }
    }

    /// Whether the container is gone, so that nothing in it can hang. An engine that cannot be
    /// asked, as behind a sudo that wants a password, leaves that open.
    async fn has_ended(&self) -> bool {
        let Some(engine) = &self.engine else {
            return true;
        };
        let (code, reply) = quiet(&engine.exists_command(&self.name), ENGINE_LIMIT).await;
        engine.says_absent(code, &reply)
    }

    async fn refuse(&mut self, error: &UnmountError) {
        let failure = match GuardFailure::from(error) {
            // The build's own result says that it was cancelled.
            GuardFailure::Stopped => None,
            failure => Some(failure),
        };
        self.give_up(failure).await;
    }

    /// Removes the container, so that nothing of the build can reach a drive any more.
    async fn give_up(&mut self, failure: Option<GuardFailure>) {
        self.given_up = true;
        self.failure = failure;
        let remove = self
            .engine
            .as_ref()
            .map(|engine| engine.remove_command(&self.name))
            .unwrap_or_default();
        for _ in 0..TRIES {
            quiet(&remove, REMOVAL_LIMIT).await;
            if self.has_ended().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        self.say(
            "the container can neither be removed nor resumed".to_owned(),
            Some(format!("`{}`", remove.join(" "))),
        );
    }

    /// Takes a lease: the drives are unmounted when it returns well.
    async fn unmount(&mut self) -> Result<(), UnmountError> {
        let keeper = match &self.setup.keeper {
            Ok(keeper) => keeper.clone(),
            Err((why, hint)) => {
                self.say(why.clone(), Some(hint.clone()));
                return Err(UnmountError::System(why.clone()));
            }
        };
        let (context, ask, name) = (
            self.context.clone(),
            self.setup.ask.clone(),
            self.name.clone(),
        );
        let leased = off_thread(move || {
            let boot = keeper.host().boot();
            let record = |drives: &[WindowsDrive]| context.journal.unmounting(&name, &boot, drives);
            let dialog = UnmountDialog {
                say: &|message, hint| context.events.warn(Some(&context.node), message, hint),
                ask: ask.as_deref(),
                stopped: &|| *context.stop.borrow() > StopLevel::Run,
            };
            keeper.lease(&name, &record, &dialog)
        })
        .await;
        match leased.map_err(UnmountError::System)? {
            Ok(lease) => {
                if !lease.unmounted.is_empty() {
                    let points: Vec<String> = lease
                        .unmounted
                        .iter()
                        .map(|drive| drive.point.display().to_string())
                        .collect();
                    self.say(
                        format!("{} unmounted while the image is made", points.join(", ")),
                        Some(
                            "they are mounted again afterwards; by hand: isar-build-all wsl remount"
                                .to_owned(),
                        ),
                    );
                }
                self.keep(lease);
                Ok(())
            }
            Err(refused) => {
                let LeaseError { error, lease } = *refused;
                if let Some(lease) = lease {
                    self.keep(lease);
                }
                Err(error)
            }
        }
    }

    fn keep(&mut self, mut lease: UnmountLease) {
        lease.leave_to_watcher(self.is_watched);
        self.lease = Some(lease);
    }

    async fn release_all(&mut self) {
        let released = self.release().await;
        self.report_released(released);
    }

    /// Releases all leases.
    fn release(&mut self) -> impl Future<Output = Released> + use<> {
        let is_watched = self.is_watched;
        let mut leases = std::mem::take(&mut self.unreleased);
        leases.extend(self.lease.take());
        let (journal, name) = (Arc::clone(&self.context.journal), self.name.clone());
        off_thread(move || {
            let release = |mut lease: UnmountLease| {
                lease.leave_to_watcher(is_watched);
                let result = lease.release();
                if result
                    .as_ref()
                    .is_ok_and(|result| result.missing.is_empty())
                {
                    journal.remounted(&name);
                }
                (result, lease)
            };
            leases.into_iter().map(release).collect()
        })
    }

    fn report_released(&mut self, released: Released) {
        let released = released.unwrap_or_else(|why| {
            self.say(why, None);
            Vec::new()
        });
        for (result, lease) in released {
            match result {
                Ok(result) => {
                    for (message, hint) in result.problems {
                        self.say(message, hint);
                    }
                }
                Err(error) => {
                    self.say(
                        format!("the Windows drives are still unmounted: {error}"),
                        Some("isar-build-all wsl remount".to_owned()),
                    );
                    self.unreleased.push(lease);
                }
            }
        }
    }

    fn say(&self, message: String, hint: Option<String>) {
        let GuardContext { events, node, .. } = &self.context;
        events.warn(Some(node), message, hint);
    }
}

/// The result of releasing leases; an error if the release panicked.
type Released = Result<Vec<(Result<RemountResult, LedgerError>, UnmountLease)>, String>;

/// Runs blocking work on the blocking pool. The caller waits for its end even when the run is
/// stopped, because the result owns leases; the work itself ends early at a stop.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| format!("internal fault: {error}"))
}

fn last_line(reply: &str) -> &str {
    reply
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("the engine printed nothing")
}
