//! The hub: gives events their number and time, and hands each to every reporter.
//!
//! A change of state never blocks the one who emits it and is never lost. Output lines are bounded: when
//! reporters cannot keep up they are dropped and counted, and the count becomes an event. Each reporter
//! has a thread of its own, so one that stands still (a terminal stopped by Ctrl-S, a full pipe) holds up
//! neither the run nor the record of it; one that fails or panics is switched off, the others are told.
//! Knows nothing of what reporters do with an event.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Reporter;
use crate::model::event::{EVENT_VERSION, Event, EventKind, Stream};

/// Output lines that may wait for the slowest reporter at one time.
pub const OUTPUT_BACKLOG: usize = 10_000;

/// How often reporters are called when nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// Where the time of events comes from; passed in so that tests have stable output.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

struct Message {
    kind: EventKind,
    place: Option<Place>,
}

/// A place in the backlog of output lines, given back when the last reporter has drawn the line.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An event on its way to the reporters.
struct Delivery {
    event: Event,
    _place: Option<Place>,
}

type Dropped = Arc<Mutex<BTreeMap<String, u64>>>;
type Failures = Arc<Mutex<Vec<ReporterFailure>>>;

/// The sending side of the hub; cheap to clone.
#[derive(Clone)]
pub struct EventSink {
    sender: mpsc::Sender<Message>,
    backlog: Arc<AtomicUsize>,
    dropped: Dropped,
}

impl EventSink {
    /// Emits a change of state. Never blocks, is never lost.
    pub fn emit(&self, kind: EventKind) {
        self.send(Message { kind, place: None });
    }

    /// Emits a child's output line, or counts it as dropped where reporters are too far behind.
    pub fn output(&self, node: &str, stream: Stream, line: &str) {
        let waiting = self.backlog.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.backlog));
        if waiting >= OUTPUT_BACKLOG {
            *lock(&self.dropped).entry(node.to_owned()).or_default() += 1;
            return;
        }
        let kind = EventKind::Output {
            node: node.to_owned(),
            stream,
            line: line.to_owned(),
        };
        self.send(Message {
            kind,
            place: Some(place),
        });
    }

    /// Emits a warning.
    pub fn warn(&self, node: Option<&str>, message: impl Into<String>, hint: Option<String>) {
        self.emit(EventKind::Warning {
            node: node.map(str::to_owned),
            message: message.into(),
            hint,
        });
    }

    /// Emits something that only those want to know who look closely.
    pub fn note(&self, node: Option<&str>, message: impl Into<String>) {
        self.emit(EventKind::Note {
            node: node.map(str::to_owned),
            message: message.into(),
        });
    }

    fn send(&self, message: Message) {
        // The receiver ends only after every sink is dropped, so a failed send means that the hub's
        // thread died; there is nobody left to tell.
        let _ = self.sender.send(message);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A reporter that was switched off, and why.
#[derive(Debug)]
pub struct ReporterFailure {
    /// Its name.
    pub reporter: &'static str,
    /// What it said.
    pub error: io::Error,
    /// Whether the other reporters were told.
    pub told: bool,
}

impl fmt::Display for ReporterFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReporterFailure {
            reporter, error, ..
        } = self;
        write!(f, "reporter `{reporter}` was switched off: {error}")
    }
}

/// The hub's thread; joined at the end of a run.
pub struct Hub {
    thread: thread::JoinHandle<()>,
    failures: Failures,
}

impl Hub {
    /// Starts a hub for run `run` with its reporters.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        run: &str,
        clock: Clock,
        reporters: Vec<Box<dyn Reporter>>,
    ) -> io::Result<(Hub, EventSink)> {
        let failures = Failures::default();
        let mut lines = Vec::with_capacity(reporters.len());
        for reporter in reporters {
            lines.push(Line::start(reporter, Arc::clone(&failures))?);
        }
        let (sender, receiver) = mpsc::channel();
        let sink = EventSink {
            sender,
            backlog: Arc::new(AtomicUsize::new(0)),
            dropped: Dropped::default(),
        };
        let worker = Worker {
            run: run.to_owned(),
            clock,
            seq: 0,
            lines,
            dropped: Arc::clone(&sink.dropped),
            failures: Arc::clone(&failures),
            is_over: false,
        };
        let thread = thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || worker.work(&receiver))?;
        Ok((Hub { thread, failures }, sink))
    }

    /// Waits until every event is drawn; every [`EventSink`] must have been dropped. Returns the
    /// reporters that failed.
    #[must_use]
    pub fn join(self) -> Vec<ReporterFailure> {
        // The thread calls reporters only inside `catch_unwind`; a panic of its own has been printed.
        let _ = self.thread.join();
        std::mem::take(&mut *lock(&self.failures))
    }
}

struct Worker {
    run: String,
    clock: Clock,
    seq: u64,
    lines: Vec<Line>,
    dropped: Dropped,
    failures: Failures,
    is_over: bool,
}

impl Worker {
    fn work(mut self, receiver: &mpsc::Receiver<Message>) {
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(message) => {
                    // A count must stand before what ends the node that it is about. Before an output
                    // line it need not, and under load it would stand before every one.
                    if message.place.is_none() {
                        self.say_dropped();
                        self.say_failures();
                    }
                    self.deliver(message);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.say_dropped();
                    self.say_failures();
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        self.say_dropped();
        // All have seen everything before the first is finished, and they finish one after the other:
        // a table on standard output comes after the bars on standard error are gone.
        let drained: Vec<_> = self.lines.into_iter().map(Line::drain).collect();
        for reporter in drained.into_iter().flatten() {
            let name = reporter.name();
            let mut reporter = Some(reporter);
            if let Some(error) = call(&mut reporter, |reporter| reporter.finish()) {
                lock(&self.failures).push(ReporterFailure {
                    reporter: name,
                    error,
                    told: false,
                });
            }
        }
    }

    fn say_dropped(&mut self) {
        let dropped = std::mem::take(&mut *lock(&self.dropped));
        for (node, lines) in dropped {
            self.say(EventKind::OutputDropped { node, lines });
        }
    }

    /// Tells the reporters that are left of those that are not; the last event stays the last.
    fn say_failures(&mut self) {
        if self.is_over {
            return;
        }
        let new: Vec<String> = lock(&self.failures)
            .iter_mut()
            .filter(|failure| !failure.told)
            .map(|failure| {
                failure.told = true;
                failure.to_string()
            })
            .collect();
        for message in new {
            self.say(EventKind::Warning {
                node: None,
                message,
                hint: None,
            });
        }
    }

    fn say(&mut self, kind: EventKind) {
        self.deliver(Message { kind, place: None });
    }

    fn deliver(&mut self, message: Message) {
        self.is_over |= matches!(message.kind, EventKind::RunFinished { .. });
        let delivery = Arc::new(Delivery {
            event: Event {
                v: EVENT_VERSION,
                seq: self.seq,
                time: (self.clock)(),
                run: self.run.clone(),
                kind: message.kind,
            },
            _place: message.place,
        });
        self.seq += 1;
        for line in &self.lines {
            // A reporter that was switched off has ended its side.
            let _ = line.sender.send(Arc::clone(&delivery));
        }
    }
}

/// The way to one reporter: a queue and the thread that draws from it.
struct Line {
    sender: mpsc::Sender<Arc<Delivery>>,
    thread: thread::JoinHandle<Option<Box<dyn Reporter>>>,
}

impl Line {
    fn start(reporter: Box<dyn Reporter>, failures: Failures) -> io::Result<Line> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(reporter.name().to_owned())
            .spawn(move || draw(reporter, &receiver, &failures))?;
        Ok(Line { sender, thread })
    }

    /// Closes the queue and waits until it is empty; the reporter, unless it was switched off.
    fn drain(self) -> Option<Box<dyn Reporter>> {
        drop(self.sender);
        self.thread.join().ok().flatten()
    }
}

fn draw(
    reporter: Box<dyn Reporter>,
    receiver: &mpsc::Receiver<Arc<Delivery>>,
    failures: &Failures,
) -> Option<Box<dyn Reporter>> {
    let name = reporter.name();
    let mut reporter = Some(reporter);
    let mut next_tick = Instant::now() + TICK;
    loop {
        let patience = next_tick.saturating_duration_since(Instant::now());
        let mut error = match receiver.recv_timeout(patience) {
            Ok(delivery) => call(&mut reporter, |reporter| reporter.event(&delivery.event)),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => return reporter,
        };
        // By the clock, not by idleness: under a steady flow of events times must move too.
        if error.is_none() && Instant::now() >= next_tick {
            error = call(&mut reporter, |reporter| reporter.tick());
            next_tick = Instant::now() + TICK;
        }
        if let Some(error) = error {
            lock(failures).push(ReporterFailure {
                reporter: name,
                error,
                told: false,
            });
            return None;
        }
    }
}

/// Calls the reporter; where it fails or panics, it is dropped and the error returned.
fn call(
    slot: &mut Option<Box<dyn Reporter>>,
    body: impl FnOnce(&mut dyn Reporter) -> io::Result<()>,
) -> Option<io::Error> {
    let reporter = slot.as_mut()?;
    // A reporter that panicked is never called again, so what it left half done is not seen.
    let error = match catch_unwind(AssertUnwindSafe(|| body(reporter.as_mut()))) {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => error,
        Err(panic) => io::Error::other(format!("it panicked: {}", panic_message(panic.as_ref()))),
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(slot.take()))) {
        drop(panic);
    }
    Some(error)
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
