//! The watch over a build that is silent: when a task says nothing for longer than it ever did, its
//! processes are looked at until it speaks again, and what they do is told once. With `kill` a build that
//! is proven to hang in the kernel is stopped.
//!
//! Who is silent for too long is [`crate::model::silence`]'s to say, what the processes do
//! [`crate::model::hang`]'s. This holds the clock.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::command::Kas;
use crate::exec::{StopLevel, StopSignal, Undo};
use crate::model::console::{Line, Said};
use crate::model::hang::{Finding, Place, Stuck, compare};
use crate::model::processes::Look;
use crate::model::silence::{History, Silences, Speaker};
use crate::report::human::duration;
use crate::settings::HungBuild;
use crate::steps::{StepContext, StepResult};
use crate::tools::Runner;
use crate::watchdog::{Family, Looker, NoLook};

/// The shortest and the longest time between two looks.
const GAP: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// The longest time between two looks where it is known what they show.
const CALM: Duration = Duration::from_secs(30);

/// How many comparisons in a row must show the same before it is said: three looks.
const SURE: u32 = 2;

/// How far ahead a sleep is set at most, where nobody is due for as long as can be said.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// The watch over one build. Dropping it ends it.
pub(super) struct Watch {
    shared: Arc<Mutex<Shared>>,
    begin: Instant,
    stop: StopSignal,
    task: JoinHandle<()>,
}

struct Shared {
    silences: Silences,
    hung: Option<StepResult>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Begins with the build whose own process is the leader of `undo`'s group.
    pub(super) fn start(ctx: &StepContext, runner: &Runner, kas: &Kas, undo: &Undo) -> Watch {
        let limit = Duration::from_secs(ctx.settings.silence_limit.value);
        let shared = Arc::new(Mutex::new(Shared {
            silences: Silences::new(limit, ctx.handover.silences(&ctx.variant.key)),
            hung: None,
        }));
        let begin = Instant::now();
        // Whoever stops the run stops this build, and so may the watch.
        let (tell, stop) = watch::channel(*ctx.stop.borrow());
        let observer = Observer {
            ctx: ctx.clone(),
            shared: Arc::clone(&shared),
            begin,
            limit,
            looker: looker(runner, kas, undo),
            tell: tell.clone(),
        };
        let asked = ctx.stop.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = forward(asked, tell) => {}
                () = observer.observe() => {}
            }
        });
        Watch {
            shared,
            begin,
            stop,
            task,
        }
    }

    /// What the build's process is to listen to.
    pub(super) fn stop(&self) -> StopSignal {
        self.stop.clone()
    }

    /// Takes note of a line.
    pub(super) fn hear(&self, line: &Line<'_>, said: Option<&Said<'_>>) {
        let now = self.begin.elapsed();
        lock(&self.shared).silences.hear(line, said, now);
    }

    /// The longest silences of the build.
    pub(super) fn longest(&self) -> History {
        lock(&self.shared).silences.longest()
    }

    /// Ends it, and waits until nothing of it is left: it holds on to where events go.
    pub(super) async fn end(mut self) {
        self.task.abort();
        // That it was aborted is no news.
        let _ = (&mut self.task).await;
    }

    /// How the build ended where it was given up.
    pub(super) fn gave_up(&self) -> Option<StepResult> {
        lock(&self.shared).hung.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn looker(runner: &Runner, kas: &Kas, undo: &Undo) -> Looker {
    let family = Family {
        container: kas.first_process(runner),
        pid: undo.pgid.unwrap_or(0),
        marks: undo.marks.clone(),
    };
    let elevate = match runner {
        // Docker's daemon is root although nobody asked for that.
        Runner::Container { .. } if undo.elevate.is_empty() => {
            vec!["sudo".to_owned(), "-n".to_owned()]
        }
        _ => undo.elevate.clone(),
    };
    Looker {
        program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("isar-build-all")),
        elevate,
        family,
    }
}

async fn forward(mut asked: StopSignal, tell: watch::Sender<StopLevel>) {
    while asked.changed().await.is_ok() {
        let level = *asked.borrow();
        raise(&tell, level);
    }
    // Nobody can ask any more, and the watch goes on.
    std::future::pending().await
}

fn raise(tell: &watch::Sender<StopLevel>, level: StopLevel) {
    tell.send_if_modified(|told| {
        let more = level > *told;
        *told = level.max(*told);
        more
    });
}

struct Observer {
    ctx: StepContext,
    shared: Arc<Mutex<Shared>>,
    begin: Instant,
    limit: Duration,
    looker: Looker,
    tell: watch::Sender<StopLevel>,
}

/// One silence, from when it was too long to the next word.
#[derive(Default)]
struct Episode {
    /// Who is silent, and since when.
    of: Option<(Speaker, Duration)>,
    last: Option<(Look, Instant)>,
    /// Comparisons in a row that showed that everybody waits.
    waiting: u32,
    /// Threads that hang.
    stuck: HashMap<(i32, u64), Hanging>,
    told: Option<Told>,
}

/// For how long a thread hangs.
#[derive(Clone, Copy)]
struct Hanging {
    /// Since when at least.
    since: Instant,
    /// In how many comparisons in a row.
    times: u32,
    /// In how many of them, up to the last, it hung in 9p.
    in_9p: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Blind,
    Waits,
    Hangs,
}

impl Observer {
    async fn observe(&self) {
        let mut episode = Episode::default();
        let (least, most) = GAP;
        let gap = (self.limit / 20).clamp(least, most);
        loop {
            let due = lock(&self.shared).silences.due();
            let due = due.min(self.begin.elapsed() + FAR);
            sleep_until(self.begin + due).await;
            let now = self.begin.elapsed();
            let overdue = lock(&self.shared).silences.overdue(now);
            let Some((speaker, silent)) = overdue.into_iter().next() else {
                continue;
            };
            let of = Some((speaker, now.saturating_sub(silent)));
            if episode.of != of {
                episode = Episode {
                    of,
                    ..Episode::default()
                };
            }
            let pause = match self.look(&mut episode).await {
                _ if lock(&self.shared).hung.is_some() => return,
                Finding::Busy => CALM.min(gap * 4),
                _ if episode.told.is_some() => CALM.min(self.limit),
                _ => gap,
            };
            sleep(pause).await;
        }
    }

    /// Takes a look and tells what it shows beside the one before.
    async fn look(&self, episode: &mut Episode) -> Finding {
        let look = match self.looker.look().await {
            Ok(look) => look,
            Err(NoLook(why)) => {
                episode.last = None;
                self.say(episode, Told::Blind, &why, None);
                return Finding::Nobody;
            }
        };
        let now = Instant::now();
        let Some((before, then)) = episode.last.replace((look.clone(), now)) else {
            return Finding::Nobody;
        };
        let finding = compare(&before, &look, now - then);
        tracing::debug!(?finding, "silent build");
        match &finding {
            Finding::Busy | Finding::Nobody => {
                // What is said of it later is news.
                episode.told = None;
                episode.waiting = 0;
                episode.stuck.clear();
            }
            Finding::Waiting(waiting) => {
                episode.waiting += 1;
                episode.stuck.clear();
                if episode.waiting >= SURE {
                    let what: Vec<String> = waiting.iter().map(ToString::to_string).collect();
                    let what = match what.as_slice() {
                        [] => "nobody works".to_owned(),
                        what => what.join("; "),
                    };
                    self.say(episode, Told::Waits, &what, None);
                }
            }
            Finding::Stuck(stuck) => {
                episode.waiting = 0;
                self.hangs(episode, stuck, then);
            }
        }
        finding
    }

    fn hangs(&self, episode: &mut Episode, stuck: &[Stuck], since: Instant) {
        let before = std::mem::take(&mut episode.stuck);
        for thread in stuck {
            let key = (thread.tid, thread.began);
            let mut hanging = before.get(&key).copied().unwrap_or(Hanging {
                since,
                times: 0,
                in_9p: 0,
            });
            hanging.times += 1;
            hanging.in_9p = match thread.place {
                Place::NineP(_) => hanging.in_9p + 1,
                _ => 0,
            };
            episode.stuck.insert(key, hanging);
        }
        let known = |thread: &&Stuck| episode.stuck[&(thread.tid, thread.began)].times >= SURE;
        let Some(first) = stuck.iter().find(known).cloned() else {
            return;
        };
        let hint = hint(&first);
        self.say(episode, Told::Hangs, &first.to_string(), Some(hint.clone()));
        let proven = stuck.iter().find(|thread| {
            let hanging = episode.stuck[&(thread.tid, thread.began)];
            match thread.place {
                Place::NineP(_) => hanging.in_9p >= SURE,
                Place::Sync | Place::Elsewhere(_) => hanging.since.elapsed() >= self.limit,
                Place::Unknown => false,
            }
        });
        if let Some(proven) = proven
            && self.ctx.settings.hung_build.value == HungBuild::Kill
        {
            tracing::debug!(%proven, "gives up a silent build");
            let failed = StepResult::failed(format!("it was given up: {proven}"));
            lock(&self.shared).hung = Some(failed.hint(hint));
            raise(&self.tell, StopLevel::Kill);
        }
    }

    /// Tells it, once a silence.
    fn say(&self, episode: &mut Episode, told: Told, what: &str, hint: Option<String>) {
        if episode.told == Some(told) {
            return;
        }
        episode.told = Some(told);
        let Some((speaker, since)) = &episode.of else {
            return;
        };
        let silent = self.begin.elapsed().saturating_sub(*since);
        let message = format!(
            "{speaker} has been silent for {}: {what}",
            duration(silent.as_secs_f64())
        );
        self.ctx.events.warn(Some(&self.ctx.node), message, hint);
    }
}

fn hint(stuck: &Stuck) -> String {
    if stuck.place.is_fm6() {
        "on WSL2, `wsl --shutdown` in Windows ends it and wsl.sync-guard prevents it; --kill-hung gives such a build up (docs/watchdog.md)".to_owned()
    } else {
        format!(
            "see where: sudo cat /proc/{}/task/{}/stack",
            stuck.pid, stuck.tid
        )
    }
}
