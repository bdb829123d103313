//! What keeps a build from hanging in `sync(2)` on WSL (FM-6): follows its output, and has the drives of
//! Windows taken away while an image is made, or sees that sync does nothing inside its container.
//!
//! The container is paused as soon as an image task is named, the drives are unmounted and proven to be, and
//! only then does it go on. Where they will not go it does not go on at all: it is removed, and the build
//! fails. Knows nothing of how drives go and come.

mod answers;
mod ear;
mod maybe;
mod pausing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::command::{engine_command, engine_words};
use crate::exec::{StopLevel, ask, quiet};
use crate::machine::freezer::Freezer;
use crate::settings::SyncGuard;
use crate::state::journal::Entry;
use crate::steps::capture::blocking;
use crate::steps::{StepContext, StepResult};
use crate::tools::Engine;
use crate::wsl::{AwayError, Back, Drive, Hold, Keeper, LedgerError, Talk, Untaken, is_filtered};
use answers::says_gone;
pub(super) use ear::{Cue, Ear};
pub(super) use maybe::MaybeWatch;
use pausing::Paused;

/// How long the engine may take to pause a container, or to let it go on.
const ENGINE_LIMIT: Duration = Duration::from_secs(60);

/// How often the engine is asked to remove a container, and, where the run is to stop, to let one go on.
const TRIES: u32 = 5;

/// How often it is looked whether a container stands still after all whose pause the engine gave up.
const LOOK: Duration = Duration::from_secs(10);

/// How long the engine may take to remove a container.
const REMOVAL: Duration = Duration::from_secs(20);

/// Asks the user on the terminal whether to try again.
pub type Ask = Arc<crate::wsl::Ask>;

/// How the builds of a run are guarded.
#[derive(Clone)]
pub struct Guarding {
    /// What the settings ask for; never [`SyncGuard::Off`].
    pub choice: SyncGuard,
    /// The filter for their containers, where one is to be tried.
    pub profile: Option<PathBuf>,
    /// How many filters their containers have from us.
    pub outer_filters: u32,
    /// Who takes drives away; or why nobody can, with a hint.
    pub keeper: Result<Keeper, (String, String)>,
    /// Who is asked.
    pub ask: Option<Ask>,
}

impl Guarding {
    /// The filter's file.
    #[must_use]
    pub fn profile(&self) -> Option<&Path> {
        self.profile.as_deref()
    }
}

/// How sync is kept from harm in this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the filter, once it was seen to be there.
    Filter { seen: bool },
    /// By unmounting as an image begins.
    AtSight,
    /// By unmounting for the whole build.
    Whole,
}

/// The guard of one build.
pub(super) struct SyncWatch {
    ctx: StepContext,
    guarding: Guarding,
    engine: Option<Engine>,
    name: String,
    remove: Vec<String>,
    way: Way,
    hold: Option<Hold>,
    /// What could not be given back yet.
    owed: Vec<Hold>,
    /// Whether the watcher undoes the build where nobody sees its end.
    is_watched: bool,
    failed: Option<StepResult>,
    /// The container was removed, or is to be: nothing more is done for it.
    given_up: bool,
    /// The engine gave up pausing it, and it may be paused still.
    may_freeze: bool,
    /// Where `proc` and `sys` lie.
    root: PathBuf,
    /// By what the kernel is asked whether the container is paused; none before it is to be.
    freezer: Option<Freezer>,
}

impl SyncWatch {
    /// One for the build whose container is `name` and is removed by `remove`.
    pub(super) fn new(
        ctx: &StepContext,
        guarding: &Guarding,
        engine: Option<&Engine>,
        name: &str,
        remove: &[String],
        root: &Path,
    ) -> SyncWatch {
        let way = match (engine, &guarding.profile) {
            (Some(_), Some(_)) => Way::Filter { seen: false },
            (Some(_), None) => Way::AtSight,
            (None, _) => Way::Whole,
        };
        SyncWatch {
            ctx: ctx.clone(),
            guarding: guarding.clone(),
            engine: engine.cloned(),
            name: name.to_owned(),
            remove: remove.to_vec(),
            way,
            hold: None,
            owed: Vec::new(),
            is_watched: false,
            failed: None,
            given_up: false,
            may_freeze: false,
            root: root.to_owned(),
            freezer: None,
        }
    }

    /// What brings the drives back when we have died.
    pub(super) fn after(&self) -> Vec<String> {
        match &self.guarding.keeper {
            Ok(keeper) => {
                let program = keeper.machine().program.display().to_string();
                vec![program, "wsl".into(), "remount".into(), "--ours".into()]
            }
            Err(_) => Vec::new(),
        }
    }

    /// Before the build is started: takes the drives away where an image cannot be seen coming.
    pub(super) async fn before(&mut self) -> Result<(), StepResult> {
        if self.way != Way::Whole {
            return Ok(());
        }
        match self.take().await {
            Ok(()) => Ok(()),
            Err(error) => {
                let result = Self::result_of(&error);
                // Nothing was started that the watcher could undo.
                self.is_watched = false;
                self.give_back().await;
                Err(result)
            }
        }
    }

    /// Acts on cues until the build's output has ended.
    pub(super) async fn follow(&mut self, mut heard: UnboundedReceiver<Cue>) {
        while let Some(cue) = self.next(&mut heard).await {
            if self.given_up {
                continue;
            }
            match (cue, self.way) {
                (Cue::Alive | Cue::Image, Way::Filter { seen: false }) => {
                    self.look_at_filter().await;
                    if self.way == Way::AtSight && !self.given_up {
                        self.act_at_sight(cue, &mut heard).await;
                    }
                }
                (cue, Way::AtSight) => self.act_at_sight(cue, &mut heard).await,
                (Cue::Alive | Cue::Image | Cue::NoImage, _) => {}
            }
        }
    }

    async fn next(&mut self, heard: &mut UnboundedReceiver<Cue>) -> Option<Cue> {
        while self.may_freeze && !self.given_up {
            match tokio::time::timeout(LOOK, heard.recv()).await {
                Ok(cue) => return cue,
                Err(_) => self.thaw().await,
            }
        }
        heard.recv().await
    }

    async fn act_at_sight(&mut self, cue: Cue, heard: &mut UnboundedReceiver<Cue>) {
        match cue {
            Cue::Alive => self.try_pause().await,
            Cue::Image if self.hold.is_some() => {}
            Cue::Image => {
                let asked = self.pause().await;
                self.image_begins(asked).await;
            }
            Cue::NoImage => self.image_ends(heard).await,
        }
    }

    /// How the build ended, in view of what became of the guard.
    pub(super) fn verdict(&mut self, result: StepResult) -> StepResult {
        self.failed.take().unwrap_or(result)
    }

    fn engine_words(&self, words: &[&str]) -> Vec<String> {
        self.engine
            .as_ref()
            .map(|engine| engine_command(engine, words))
            .unwrap_or_default()
    }

    /// Whether the filter is there is asked inside the container: engines have been known to drop it
    /// without a word.
    async fn look_at_filter(&mut self) {
        let argv = self.engine_words(&["exec", &self.name, "cat", "/proc/1/status"]);
        let why = match ask(&argv, ENGINE_LIMIT).await {
            Ok(status) if is_filtered(&status, self.guarding.outer_filters) => {
                self.way = Way::Filter { seen: true };
                return;
            }
            Ok(_) => "the engine did not apply the seccomp profile".to_owned(),
            Err(_) if self.has_ended().await => return,
            Err(why) => {
                format!("the container could not be asked for its seccomp profile: {why}")
            }
        };
        if self.guarding.choice == SyncGuard::Seccomp {
            let failed = StepResult::failed(format!(
                "sync(2) can hang this build on a Windows drive (FM-6): {why}"
            ))
            .hint("set `wsl.sync-guard = \"unmount\"`, or update the container engine");
            self.give_up(Some(failed)).await;
            return;
        }
        self.say(
            format!("{why}; the drives of Windows are unmounted while the image is made"),
            None,
        );
        self.way = Way::AtSight;
    }

    /// Tries early what is needed later: an engine that cannot pause is known before it matters.
    async fn try_pause(&mut self) {
        let said = match self.pause().await {
            Paused::Yes => return self.unpause().await,
            Paused::GivenUp => return,
            Paused::No(said) => said,
        };
        if *self.ctx.stop.borrow() > StopLevel::Run {
            return;
        }
        self.say(
            format!(
                "the container cannot be paused ({}): the drives of Windows are unmounted until the build ends",
                last_line(&said)
            ),
            None,
        );
        self.way = Way::Whole;
        match self.take().await {
            Ok(()) => self.thaw().await,
            Err(error) => self.refuse(error).await,
        }
    }

    /// An image begins, and the container was asked to pause.
    async fn image_begins(&mut self, asked: Paused) {
        if matches!(asked, Paused::GivenUp) {
            return;
        }
        let paused = matches!(asked, Paused::Yes);
        if let Paused::No(said) = asked
            && *self.ctx.stop.borrow() == StopLevel::Run
        {
            self.say(
                format!(
                    "the container could not be paused ({}): its image task goes on while the drives of Windows \
                     are unmounted",
                    last_line(&said)
                ),
                None,
            );
        }
        match self.take().await {
            // Also where a stop was asked for meanwhile: only a container that runs can stop by itself, and
            // nothing in it can hang any more.
            Ok(()) if paused => self.unpause().await,
            Ok(()) => self.thaw().await,
            // Not unpaused: what runs on would reach a drive.
            Err(error) => self.refuse(error).await,
        }
    }

    /// No image is made any more: the drives come back. Where the next image begins before they are all back,
    /// the container is paused then and not afterwards, when sgdisk may have met one.
    async fn image_ends(&mut self, heard: &mut UnboundedReceiver<Cue>) {
        let mut giving = std::pin::pin!(self.give());
        let mut asked = None;
        let mut is_open = true;
        let given = loop {
            tokio::select! {
                given = &mut giving => break given,
                cue = heard.recv(), if is_open && asked.is_none() => match cue {
                    Some(Cue::Image) => asked = Some(self.pause().await),
                    Some(Cue::Alive | Cue::NoImage) => {}
                    None => is_open = false,
                },
            }
        };
        self.given(given);
        if let Some(asked) = asked {
            self.image_begins(asked).await;
        }
    }

    /// Whether there is no container any more: then nothing in it can hang. An engine that could not be
    /// asked, as by a sudo that wants a password, has not said so.
    async fn has_ended(&self) -> bool {
        let Some(engine) = &self.engine else {
            return true;
        };
        let [_, exists, _] = engine_words(engine, &self.name);
        let (code, said) = quiet(&exists, ENGINE_LIMIT).await;
        code == Some(1) && says_gone(engine.kind, &said)
    }

    async fn refuse(&mut self, error: AwayError) {
        let failed = match error {
            AwayError::Stopped => None,
            error => Some(Self::result_of(&error)),
        };
        self.give_up(failed).await;
    }

    fn result_of(error: &AwayError) -> StepResult {
        match error {
            AwayError::Stopped => StepResult::cancelled(),
            error => StepResult::failed(format!("{error} (FM-6)")).hint_if(error.hint()),
        }
    }

    /// Removes the container, so that nothing of the build can reach a drive any more.
    async fn give_up(&mut self, failed: Option<StepResult>) {
        self.given_up = true;
        self.failed = failed;
        // A paused container that stays would never let the build end.
        for _ in 0..TRIES {
            quiet(&self.remove, REMOVAL).await;
            if self.has_ended().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        self.say(
            "the container cannot be removed, and does not go on".to_owned(),
            Some(format!("`{}`", self.remove.join(" "))),
        );
    }

    async fn take(&mut self) -> Result<(), AwayError> {
        let keeper = match &self.guarding.keeper {
            Ok(keeper) => keeper.clone(),
            Err((why, hint)) => {
                self.say(why.clone(), Some(hint.clone()));
                return Err(AwayError::System(why.clone()));
            }
        };
        let (ctx, ask, name) = (
            self.ctx.clone(),
            self.guarding.ask.clone(),
            self.name.clone(),
        );
        let taken = blocking(move || {
            let say = |message: String, hint| ctx.events.warn(Some(&ctx.node), message, hint);
            let stopped = || *ctx.stop.borrow() > StopLevel::Run;
            let boot = keeper.machine().boot();
            let journal = Arc::clone(&ctx.journal);
            let (run, build) = (ctx.run.clone(), name.clone());
            let write_down = move |drives: &[Drive]| {
                let entry = Entry::DrivesAway {
                    run: run.clone(),
                    build: build.clone(),
                    boot: boot.clone(),
                    drives: drives.to_vec(),
                };
                journal.intend(&entry).map_err(|error| error.to_string())
            };
            let talk = Talk {
                say: &say,
                ask: ask.as_deref(),
                stopped: &stopped,
            };
            keeper.take(&name, &write_down, &talk)
        })
        .await;
        match taken {
            Ok(Ok(hold)) => {
                if !hold.unmounted.is_empty() {
                    let points: Vec<String> = hold
                        .unmounted
                        .iter()
                        .map(|drive| drive.point.display().to_string())
                        .collect();
                    self.say(
                        format!("{} unmounted while the image is made", points.join(", ")),
                        Some(
                            "they come back by themselves; else: isar-build-all wsl remount"
                                .to_owned(),
                        ),
                    );
                }
                self.keep(hold);
                Ok(())
            }
            Ok(Err(untaken)) => {
                let Untaken { error, hold } = *untaken;
                if let Some(hold) = hold {
                    self.keep(hold);
                }
                Err(error)
            }
            Err(result) => Err(AwayError::System(result.why.unwrap_or_default())),
        }
    }

    fn keep(&mut self, mut hold: Hold) {
        hold.leave_to_watcher(self.is_watched);
        self.hold = Some(hold);
    }

    async fn give_back(&mut self) {
        let given = self.give().await;
        self.given(given);
    }

    /// Gives back whatever is held.
    fn give(&mut self) -> impl Future<Output = Given> + use<> {
        let is_watched = self.is_watched;
        let mut holds = std::mem::take(&mut self.owed);
        holds.extend(self.hold.take());
        blocking(move || {
            let give = |mut hold: Hold| {
                hold.leave_to_watcher(is_watched);
                (hold.give_back(), hold)
            };
            holds.into_iter().map(give).collect()
        })
    }

    /// Says what came of it.
    fn given(&mut self, given: Given) {
        let given = given.unwrap_or_else(|result| {
            self.say(result.why.unwrap_or_default(), None);
            Vec::new()
        });
        for (given, hold) in given {
            match given {
                Ok(back) => {
                    for (message, hint) in back.problems {
                        self.say(message, hint);
                    }
                    if back.lost.is_empty() {
                        self.ctx.note(&Entry::DrivesBack {
                            run: self.ctx.run.clone(),
                            build: self.name.clone(),
                        });
                    }
                }
                Err(error) => {
                    self.say(
                        format!("the drives of Windows are still unmounted: {error}"),
                        Some("isar-build-all wsl remount".to_owned()),
                    );
                    // It is tried again when the build ends. A new image takes them anew meanwhile.
                    self.owed.push(hold);
                }
            }
        }
    }

    fn say(&self, message: String, hint: Option<String>) {
        self.ctx.events.warn(Some(&self.ctx.node), message, hint);
    }
}

/// What came of giving holds back.
type Given = Result<Vec<(Result<Back, LedgerError>, Hold)>, StepResult>;

fn last_line(said: &str) -> &str {
    said.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("it said nothing")
}
