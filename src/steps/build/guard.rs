//! What keeps a build from hanging in `sync(2)` on WSL (FM-6): follows its output, and has the drives of
//! Windows taken away while an image is made, or sees that sync does nothing inside its container.
//!
//! The container is paused as soon as an image task is named, the drives are unmounted and proven to be, and
//! only then does it go on. Where they will not go it does not go on at all: it is removed, and the build
//! fails. Knows nothing of how drives go and come.

mod answers;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::command::{engine_command, engine_words};
use crate::exec::{StopLevel, quiet};
use crate::model::console::{ImageTasks, Said};
use crate::settings::SyncGuard;
use crate::state::journal::Entry;
use crate::steps::capture::blocking;
use crate::steps::{StepContext, StepResult};
use crate::tools::Engine;
use crate::wsl::{AwayError, Back, Drive, Hold, Keeper, LedgerError, Talk, Untaken, is_filtered};
use answers::{goes_on, says_gone};

/// How long the engine may take to pause a container, or to let it go on.
const ENGINE_LIMIT: Duration = Duration::from_secs(60);

/// How often the engine is asked to remove a container, and, where the run is to stop, to let one go on.
const TRIES: u32 = 5;

/// How long the engine is asked to let a container go on.
const UNPAUSE_PATIENCE: Duration = Duration::from_secs(60);

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

/// What of a build's output matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cue {
    /// Its container runs.
    Alive,
    /// An image is being made now.
    Image,
    /// None is any more.
    NoImage,
}

/// Listens to a build's output and passes cues on.
pub(super) struct Ear {
    cues: UnboundedSender<Cue>,
    tasks: ImageTasks,
    is_alive: bool,
}

impl Ear {
    pub(super) fn new() -> (Ear, UnboundedReceiver<Cue>) {
        let (cues, heard) = unbounded_channel();
        let ear = Ear {
            cues,
            tasks: ImageTasks::default(),
            is_alive: false,
        };
        (ear, heard)
    }

    pub(super) fn hear(&mut self, said: Option<&Said<'_>>) {
        let Some(said) = said else { return };
        let image = self.tasks.hear(said);
        let first = !self.is_alive && matches!(said, Said::Progress { .. });
        self.is_alive |= first;
        let cue = match image {
            Some(true) => Cue::Image,
            Some(false) => Cue::NoImage,
            None if first => Cue::Alive,
            None => return,
        };
        // Nobody listens once the build has been given up.
        let _ = self.cues.send(cue);
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
}

impl SyncWatch {
    /// One for the build whose container is `name` and is removed by `remove`.
    pub(super) fn new(
        ctx: &StepContext,
        guarding: &Guarding,
        engine: Option<&Engine>,
        name: &str,
        remove: &[String],
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
        while let Some(cue) = heard.recv().await {
            if self.given_up {
                continue;
            }
            match (cue, self.way) {
                (Cue::Alive | Cue::Image, Way::Filter { seen: false }) => {
                    self.look_at_filter().await;
                    if cue == Cue::Image && self.way == Way::AtSight && !self.given_up {
                        self.image_begins().await;
                    }
                }
                (Cue::Alive, Way::AtSight) => self.try_pause().await,
                (Cue::Image, Way::AtSight) => self.image_begins().await,
                (Cue::NoImage, Way::AtSight) => self.give_back().await,
                (Cue::Alive | Cue::Image | Cue::NoImage, _) => {}
            }
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
        let asked = blocking(move || crate::wsl::ask(&argv, ENGINE_LIMIT)).await;
        let why = match asked {
            Ok(Ok(status)) if is_filtered(&status) => {
                self.way = Way::Filter { seen: true };
                return;
            }
            Ok(Ok(_)) => "the engine did not apply the seccomp profile".to_owned(),
            Ok(Err(_)) if self.has_ended().await => return,
            Ok(Err(why)) => {
                format!("the container could not be asked for its seccomp profile: {why}")
            }
            Err(result) => result.why.unwrap_or_default(),
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
        self.try_pause().await;
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
        if let Err(error) = self.take().await {
            self.refuse(error).await;
        }
    }

    async fn image_begins(&mut self) {
        if self.hold.is_some() {
            return;
        }
        let asked = self.pause().await;
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
            Ok(()) => {}
            // Not unpaused: what runs on would reach a drive.
            Err(error) => self.refuse(error).await,
        }
    }

    /// Pauses the container. An engine that did not answer well, or not in time, may have paused it all the
    /// same, so it is let go on at once; one that stays paused would never end.
    async fn pause(&mut self) -> Paused {
        let (code, why) = self.engine_call("pause").await;
        if code == Some(0) {
            return Paused::Yes;
        }
        let (code, said) = self.engine_call("unpause").await;
        let is_frozen = match self.is_frozen().await {
            Some(is_frozen) => is_frozen,
            None => !goes_on(code, &said) && !self.has_ended().await,
        };
        if !is_frozen {
            return Paused::No(why);
        }
        self.give_up_frozen(&said).await;
        Paused::GivenUp
    }

    async fn unpause(&mut self) {
        let begin = Instant::now();
        for tries in 1.. {
            let (code, said) = self.engine_call("unpause").await;
            if goes_on(code, &said) || self.has_ended().await {
                return;
            }
            // Where the run is to stop it was killed meanwhile, or will be.
            let stopped = *self.ctx.stop.borrow() > StopLevel::Run;
            if begin.elapsed() >= UNPAUSE_PATIENCE || (stopped && tries >= TRIES) {
                return self.give_up_frozen(&said).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn give_up_frozen(&mut self, said: &str) {
        let stopped = *self.ctx.stop.borrow() > StopLevel::Run;
        let failed = (!stopped).then(|| {
            StepResult::failed(format!(
                "the container was paused and cannot go on: {}",
                last_line(said)
            ))
        });
        self.give_up(failed).await;
    }

    /// Whether the container is paused; none where the engine does not say.
    async fn is_frozen(&self) -> Option<bool> {
        let words = ["container", "inspect", "--format", "{{.State.Paused}}"];
        let mut argv = self.engine_words(&words);
        argv.push(self.name.clone());
        let asked = blocking(move || crate::wsl::ask(&argv, ENGINE_LIMIT)).await;
        asked.ok()?.ok()?.trim().parse().ok()
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

    async fn engine_call(&self, word: &str) -> (Option<i32>, String) {
        quiet(&self.engine_words(&[word, &self.name]), ENGINE_LIMIT).await
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
        let mut holds = std::mem::take(&mut self.owed);
        holds.extend(self.hold.take());
        for hold in holds {
            self.give_one_back(hold).await;
        }
    }

    async fn give_one_back(&mut self, mut hold: Hold) {
        let is_watched = self.is_watched;
        let done: Result<(Result<Back, LedgerError>, Hold), StepResult> = blocking(move || {
            hold.leave_to_watcher(is_watched);
            (hold.give_back(), hold)
        })
        .await;
        match done {
            Ok((Ok(back), _)) => {
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
            Ok((Err(error), hold)) => {
                self.say(
                    format!("the drives of Windows are still unmounted: {error}"),
                    Some("isar-build-all wsl remount".to_owned()),
                );
                // It is tried again when the build ends. A new image takes them anew meanwhile.
                self.owed.push(hold);
            }
            Err(result) => self.say(result.why.unwrap_or_default(), None),
        }
    }

    fn say(&self, message: String, hint: Option<String>) {
        self.ctx.events.warn(Some(&self.ctx.node), message, hint);
    }
}

/// What came of asking for a pause.
enum Paused {
    /// The container is paused.
    Yes,
    /// It goes on, and this is why.
    No(String),
    /// It was given up.
    GivenUp,
}

fn last_line(said: &str) -> &str {
    said.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("it said nothing")
}

/// As the methods of [`SyncWatch`], for a build that may have none.
pub(super) struct MaybeWatch(pub(super) Option<SyncWatch>);

impl MaybeWatch {
    pub(super) async fn before(&mut self) -> Result<(), StepResult> {
        match &mut self.0 {
            Some(watch) => watch.before().await,
            None => Ok(()),
        }
    }

    pub(super) fn after(&self) -> Vec<String> {
        self.0.as_ref().map(SyncWatch::after).unwrap_or_default()
    }

    pub(super) async fn follow(&mut self, heard: UnboundedReceiver<Cue>) {
        if let Some(watch) = &mut self.0 {
            watch.follow(heard).await;
        }
    }

    /// The watcher has taken the build over.
    pub(super) fn watched(&mut self) {
        if let Some(watch) = &mut self.0 {
            watch.is_watched = true;
        }
    }

    pub(super) async fn end(&mut self) {
        if let Some(watch) = &mut self.0 {
            // Its end was seen, and the watcher is about to forget it.
            watch.is_watched = false;
            watch.give_back().await;
        }
    }

    pub(super) fn verdict(&mut self, result: StepResult) -> StepResult {
        match &mut self.0 {
            Some(watch) => watch.verdict(result),
            None => result,
        }
    }
}
