//! The silence watch of one build: once a task has been silent for too long, it takes snapshots of
//! the build's processes until the task speaks again, and reports once what they do. With
//! `hung-build = "kill"` it kills a build that is proven to hang in the kernel.
//!
//! Which silence is too long is decided in `bitbake/silence.rs`, what the processes do in
//! [`crate::watchdog::hang`]; this file holds the clock. The watch is not part of the stop path:
//! the build's process listens to the run's stop itself, and the watch owns only a [`KillHandle`].
//! If the watch fails, the build goes on and can be stopped as before.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::bitbake::console::{ConsoleLine, Said};
use crate::bitbake::silence::{History, Silences, Speaker};
use crate::event::EventSink;
use crate::event::numbers::duration;
use crate::exec::{KillHandle, KillSignal, kill_switch};
use crate::settings::HungBuild;
use crate::watchdog::hang::{BuildActivity, HangLocation, HungThread, compare};
use crate::watchdog::inspector::{InspectError, ProcessInspector};
use crate::watchdog::snapshot::ProcessSnapshot;

/// Shortest and longest time between two snapshots.
const SNAPSHOT_GAP: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Longest time between two snapshots once the build's state has been reported, or while it works.
const CALM_GAP: Duration = Duration::from_secs(30);

/// A state is reported after this many comparisons in a row show it, which takes one snapshot more.
const CONFIRMATIONS: u32 = 2;

/// Upper limit of one sleep, where no silence will be too long for as far as is known.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 3600);

/// The configuration of a silence watch.
pub struct SilenceWatchConfig {
    /// Where reports go.
    pub events: EventSink,
    /// The id of the build's node, for events.
    pub node: String,
    /// A silence shorter than this is never too long.
    pub limit: Duration,
    /// The longest silences of earlier builds of the variant.
    pub history: History,
    /// The reaction to a build that is proven to hang.
    pub hung_build: HungBuild,
}

/// Why the watch killed the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HangReport {
    /// The reason, a sentence.
    pub why: String,
    /// A remedy, as a command where there is one.
    pub hint: String,
}

/// The silence watch of one build. Dropping it ends it.
pub struct SilenceWatch {
    shared: Arc<Mutex<Shared>>,
    begin: Instant,
    kill: KillSignal,
    task: JoinHandle<()>,
}

struct Shared {
    silences: Silences,
    killed: Option<HangReport>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

type SnapshotResult = Result<ProcessSnapshot, InspectError>;
type TakeSnapshot = dyn Fn() -> Pin<Box<dyn Future<Output = SnapshotResult> + Send>> + Send + Sync;

impl SilenceWatch {
    /// Starts to watch the build whose processes `inspector` finds.
    #[must_use]
    pub fn start(config: SilenceWatchConfig, inspector: ProcessInspector) -> SilenceWatch {
        SilenceWatch::start_with(
            config,
            Box::new(move || {
                let inspector = inspector.clone();
                Box::pin(async move { inspector.snapshot().await })
            }),
        )
    }

    fn start_with(config: SilenceWatchConfig, take_snapshot: Box<TakeSnapshot>) -> SilenceWatch {
        let shared = Arc::new(Mutex::new(Shared {
            silences: Silences::new(config.limit, config.history),
            killed: None,
        }));
        let begin = Instant::now();
        let (handle, kill) = kill_switch();
        let observer = SilenceObserver {
            events: config.events,
            node: config.node,
            limit: config.limit,
            hung_build: config.hung_build,
            shared: Arc::clone(&shared),
            begin,
            take_snapshot,
            kill: handle,
        };
        let task = tokio::spawn(async move { observer.observe().await });
        SilenceWatch {
            shared,
            begin,
            kill,
            task,
        }
    }

    /// Fires when the watch kills the build; the build's process listens to it.
    #[must_use]
    pub fn kill_signal(&self) -> KillSignal {
        self.kill.clone()
    }

    /// Takes note of a line of the build's output.
    pub fn hear(&self, line: &ConsoleLine<'_>, said: Option<&Said<'_>>) {
        let now = self.begin.elapsed();
        lock(&self.shared).silences.hear(line, said, now);
    }

    /// The longest silences of the build so far.
    #[must_use]
    pub fn longest(&self) -> History {
        lock(&self.shared).silences.longest()
    }

    /// Ends the watch, and waits until its task is gone: the task holds on to the event sink.
    pub async fn end(mut self) {
        self.task.abort();
        // An error says that the task was aborted or has panicked; either way it is gone.
        let _ = (&mut self.task).await;
    }

    /// Why the watch killed the build, if it did.
    #[must_use]
    pub fn killed(&self) -> Option<HangReport> {
        lock(&self.shared).killed.clone()
    }
}

impl Drop for SilenceWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task behind a [`SilenceWatch`].
struct SilenceObserver {
    events: EventSink,
    node: String,
    limit: Duration,
    hung_build: HungBuild,
    shared: Arc<Mutex<Shared>>,
    begin: Instant,
    take_snapshot: Box<TakeSnapshot>,
    kill: KillHandle,
}

/// The observations of one silence that is too long.
#[derive(Default)]
struct LongSilence {
    /// The silent task, and when its silence began, since the build began.
    of: Option<(Speaker, Duration)>,
    last: Option<(ProcessSnapshot, Instant)>,
    /// The number of comparisons in a row in which every process waited.
    waiting: u32,
    /// The threads that hang, by id and start time.
    hanging: HashMap<(i32, u64), HangRecord>,
    reported: Option<Reported>,
}

/// How long a thread has been seen to hang.
#[derive(Clone, Copy)]
struct HangRecord {
    /// The time of the first snapshot that shows it.
    since: Instant,
    /// The number of comparisons in a row that show it.
    comparisons: u32,
    /// The number of comparisons in a row, up to the last one, that show it in a 9p file system.
    comparisons_in_9p: u32,
}

/// The last report about a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reported {
    NoSnapshot,
    Waits,
    Hangs,
}

impl SilenceObserver {
    async fn observe(&self) {
        let mut silence = LongSilence::default();
        let (shortest, longest) = SNAPSHOT_GAP;
        let gap = (self.limit / 20).clamp(shortest, longest);
        loop {
            let due = lock(&self.shared).silences.due();
            let due = due.min(self.begin.elapsed() + LONGEST_SLEEP);
            sleep_until(self.begin + due).await;
            let now = self.begin.elapsed();
            let overdue = lock(&self.shared).silences.overdue(now);
            let Some((speaker, silent)) = overdue.into_iter().next() else {
                continue;
            };
            let of = Some((speaker, now.saturating_sub(silent)));
            if silence.of != of {
                silence = LongSilence {
                    of,
                    ..LongSilence::default()
                };
            }
            let pause = match self.inspect(&mut silence).await {
                _ if lock(&self.shared).killed.is_some() => return,
                BuildActivity::Working => CALM_GAP.min(gap * 4),
                _ if silence.reported.is_some() => CALM_GAP.min(self.limit),
                _ => gap,
            };
            sleep(pause).await;
        }
    }

    /// Takes a snapshot, and reports what it shows in comparison with the one before.
    async fn inspect(&self, silence: &mut LongSilence) -> BuildActivity {
        let snapshot = match (self.take_snapshot)().await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                silence.last = None;
                self.report(silence, Reported::NoSnapshot, &error.to_string(), None);
                return BuildActivity::NoProcesses;
            }
        };
        let now = Instant::now();
        let Some((before, then)) = silence.last.replace((snapshot.clone(), now)) else {
            return BuildActivity::NoProcesses;
        };
        let activity = compare(&before, &snapshot, now - then);
        tracing::debug!(?activity, "silent build");
        match &activity {
            BuildActivity::Working | BuildActivity::NoProcesses => {
                // If it waits or hangs later, that is worth a new report.
                silence.reported = None;
                silence.waiting = 0;
                silence.hanging.clear();
            }
            BuildActivity::Waiting(waiting) => {
                silence.waiting += 1;
                silence.hanging.clear();
                if silence.waiting >= CONFIRMATIONS {
                    let what: Vec<String> = waiting.iter().map(ToString::to_string).collect();
                    let what = match what.as_slice() {
                        [] => "no process works".to_owned(),
                        what => what.join("; "),
                    };
                    self.report(silence, Reported::Waits, &what, None);
                }
            }
            BuildActivity::Hanging(threads) => {
                silence.waiting = 0;
                self.record_hang(silence, threads, then);
            }
        }
        activity
    }

    fn record_hang(&self, silence: &mut LongSilence, threads: &[HungThread], since: Instant) {
        let before = std::mem::take(&mut silence.hanging);
        for thread in threads {
            let key = (thread.tid, thread.started);
            let mut record = before.get(&key).copied().unwrap_or(HangRecord {
                since,
                comparisons: 0,
                comparisons_in_9p: 0,
            });
            record.comparisons += 1;
            record.comparisons_in_9p = match thread.location {
                HangLocation::NineP(_) => record.comparisons_in_9p + 1,
                _ => 0,
            };
            silence.hanging.insert(key, record);
        }
        let is_confirmed = |thread: &&HungThread| {
            silence.hanging[&(thread.tid, thread.started)].comparisons >= CONFIRMATIONS
        };
        let Some(first) = threads.iter().find(is_confirmed) else {
            return;
        };
        let hint = hint(first);
        let message = first.to_string();
        self.report(silence, Reported::Hangs, &message, Some(hint.clone()));
        let proven = threads.iter().find(|thread| {
            let record = silence.hanging[&(thread.tid, thread.started)];
            match thread.location {
                HangLocation::NineP(_) => record.comparisons_in_9p >= CONFIRMATIONS,
                HangLocation::Sync | HangLocation::Other(_) => record.since.elapsed() >= self.limit,
                HangLocation::Unknown => false,
            }
        });
        if let Some(proven) = proven
            && self.hung_build == HungBuild::Kill
        {
            tracing::debug!(%proven, "kills a hung build");
            lock(&self.shared).killed = Some(HangReport {
                why: format!("killed because it hangs: {proven}"),
                hint,
            });
            self.kill.kill();
        }
    }

    /// Emits a warning, unless the last report of this silence was of the same kind.
    fn report(&self, silence: &mut LongSilence, kind: Reported, what: &str, hint: Option<String>) {
        if silence.reported == Some(kind) {
            return;
        }
        silence.reported = Some(kind);
        let Some((speaker, since)) = &silence.of else {
            return;
        };
        let silent = self.begin.elapsed().saturating_sub(*since);
        let message = format!(
            "{speaker} has been silent for {}: {what}",
            duration(silent.as_secs_f64())
        );
        self.events.warn(Some(&self.node), message, hint);
    }
}

fn hint(thread: &HungThread) -> String {
    if thread.location.is_fm6() {
        "on WSL 2, `wsl --shutdown` in Windows ends it and `wsl.sync-guard` prevents it; `--kill-hung` kills \
         such a build (docs/watchdog.md)"
            .to_owned()
    } else {
        format!(
            "see where: sudo cat /proc/{}/task/{}/stack",
            thread.pid, thread.tid
        )
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::event::Hub;
    use crate::exec::{Process, ProcessControl, ProcessEnd, ProcessSpec, StopLevel};

    fn config(events: EventSink) -> SilenceWatchConfig {
        SilenceWatchConfig {
            events,
            node: "build:qemuamd64/base".to_owned(),
            limit: Duration::from_millis(10),
            history: History::new(),
            hung_build: HungBuild::Kill,
        }
    }

    fn hub() -> (Hub, EventSink) {
        let clock = Arc::new(jiff::Timestamp::now);
        Hub::start("run", clock, Vec::new()).unwrap()
    }

    #[tokio::test]
    async fn a_panic_in_the_watch_leaves_the_build_to_the_runs_stop() {
        let (_hub, events) = hub();
        let watch = SilenceWatch::start_with(
            config(events),
            Box::new(|| Box::pin(async { panic!("the observer panics") })),
        );
        let (stop, signal) = watch::channel(StopLevel::Run);
        let process = Process::spawn(ProcessSpec::new("sleep").args(["60"])).unwrap();
        let control = ProcessControl::new(signal).with_kill(watch.kill_signal());
        let ends = process.run(|_| {}, control);
        let stops = async {
            while !watch.task.is_finished() {
                sleep(Duration::from_millis(10)).await;
            }
            stop.send(StopLevel::Graceful).unwrap();
        };

        let begin = Instant::now();
        let (finish, ()) = tokio::join!(ends, stops);

        assert_eq!(finish.ended, ProcessEnd::Signalled(15));
        assert!(begin.elapsed() < Duration::from_secs(30));
        assert_eq!(watch.killed(), None);
    }

    #[tokio::test]
    async fn a_fired_kill_handle_kills_the_process_and_a_dropped_one_does_not() {
        for fires in [true, false] {
            let (handle, signal) = kill_switch();
            let (_stop, run) = watch::channel(StopLevel::Run);
            let process = Process::spawn(ProcessSpec::new("sleep").args(["1"])).unwrap();
            if fires {
                handle.kill();
            }
            drop(handle);

            let control = ProcessControl::new(run).with_kill(signal);
            let finish = process.run(|_| {}, control).await;

            let ended = match fires {
                true => ProcessEnd::Signalled(9),
                false => ProcessEnd::Exited(0),
            };
            assert_eq!(finish.ended, ended);
        }
    }
}
