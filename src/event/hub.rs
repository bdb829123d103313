//! The hub: gives events their number and time, and hands each event to every reporter.
//!
//! Each reporter has a thread of its own, so a reporter that blocks (a terminal stopped by Ctrl-S, a full pipe)
//! delays neither the run nor the record of it. A reporter that fails or panics is switched off, and the other
//! reporters get a warning.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::event::clock::Clock;
use crate::event::reporter::Reporter;
use crate::event::sink::{BacklogSlot, DroppedLines, EventSink, PendingEvent, lock};
use crate::event::{EVENT_VERSION, Event, EventKind};

/// Time between two calls of [`Reporter::tick`].
const TICK: Duration = Duration::from_millis(200);

/// An event on its way to the reporters.
struct Delivery {
    event: Event,
    _slot: Option<BacklogSlot>,
}

type ReporterFailures = Arc<Mutex<Vec<ReporterFailure>>>;

/// A reporter that was switched off, and why.
#[derive(Debug)]
pub struct ReporterFailure {
    /// [`Reporter::name`].
    pub reporter: &'static str,
    /// The error that the reporter returned, or its panic.
    pub error: io::Error,
    /// Whether a warning event has announced it.
    pub announced: bool,
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
    failures: ReporterFailures,
}

impl Hub {
    /// Starts a hub for the run with id `run`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        run: &str,
        clock: Clock,
        reporters: Vec<Box<dyn Reporter>>,
    ) -> io::Result<(Hub, EventSink)> {
        let failures = ReporterFailures::default();
        let mut threads = Vec::with_capacity(reporters.len());
        for reporter in reporters {
            threads.push(ReporterThread::start(reporter, Arc::clone(&failures))?);
        }
        let (sender, receiver) = mpsc::channel();
        let sink = EventSink::new(sender);
        let dispatcher = Dispatcher {
            run: run.to_owned(),
            clock,
            seq: 0,
            reporters: threads,
            dropped: sink.dropped(),
            failures: Arc::clone(&failures),
            is_over: false,
        };
        let thread = thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || dispatcher.run(&receiver))?;
        Ok((Hub { thread, failures }, sink))
    }

    /// Waits until every event is drawn, and returns the reporters that failed. Blocks until every
    /// [`EventSink`] is dropped.
    #[must_use]
    pub fn join(self) -> Vec<ReporterFailure> {
        // The thread calls reporters only inside `catch_unwind`; the panic hook has printed its own panic.
        let _ = self.thread.join();
        std::mem::take(&mut *lock(&self.failures))
    }
}

/// The state of the hub's thread.
struct Dispatcher {
    run: String,
    clock: Clock,
    seq: u64,
    reporters: Vec<ReporterThread>,
    dropped: DroppedLines,
    failures: ReporterFailures,
    is_over: bool,
}

impl Dispatcher {
    fn run(mut self, receiver: &mpsc::Receiver<PendingEvent>) {
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(event) => {
                    // The count of a node's dropped lines comes before the event that ends the node. It
                    // waits while output lines come: under load it would precede each of them.
                    if event.slot.is_none() {
                        self.announce_dropped();
                        self.announce_failures();
                    }
                    self.deliver(event);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.announce_dropped();
                    self.announce_failures();
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        self.announce_dropped();
        // Every reporter draws its last event before the first one finishes, and they finish one after the
        // other: the bars have left standard error before a table appears on standard output.
        let drained: Vec<_> = self
            .reporters
            .into_iter()
            .map(ReporterThread::drain)
            .collect();
        for reporter in drained.into_iter().flatten() {
            let name = reporter.name();
            let mut reporter = Some(reporter);
            if let Some(error) = call(&mut reporter, |reporter| reporter.finish()) {
                lock(&self.failures).push(ReporterFailure {
                    reporter: name,
                    error,
                    announced: false,
                });
            }
        }
    }

    fn announce_dropped(&mut self) {
        let dropped = std::mem::take(&mut *lock(&self.dropped));
        for (node, lines) in dropped {
            self.emit(EventKind::OutputDropped { node, lines });
        }
    }

    /// Warns the remaining reporters of each one that failed. Silent after `run_finished`, which stays the
    /// last event.
    fn announce_failures(&mut self) {
        if self.is_over {
            return;
        }
        let new: Vec<String> = lock(&self.failures)
            .iter_mut()
            .filter(|failure| !failure.announced)
            .map(|failure| {
                failure.announced = true;
                failure.to_string()
            })
            .collect();
        for message in new {
            self.emit(EventKind::Warning {
                node: None,
                message,
                hint: None,
            });
        }
    }

    fn emit(&mut self, kind: EventKind) {
        self.deliver(PendingEvent { kind, slot: None });
    }

    fn deliver(&mut self, event: PendingEvent) {
        self.is_over |= matches!(event.kind, EventKind::RunFinished { .. });
        let delivery = Arc::new(Delivery {
            event: Event {
                v: EVENT_VERSION,
                seq: self.seq,
                time: (self.clock)(),
                run: self.run.clone(),
                kind: event.kind,
            },
            _slot: event.slot,
        });
        self.seq += 1;
        for reporter in &self.reporters {
            // The thread of a reporter that was switched off has ended.
            let _ = reporter.sender.send(Arc::clone(&delivery));
        }
    }
}

/// A reporter's queue, and the thread that draws from it.
struct ReporterThread {
    sender: mpsc::Sender<Arc<Delivery>>,
    thread: thread::JoinHandle<Option<Box<dyn Reporter>>>,
}

impl ReporterThread {
    fn start(
        reporter: Box<dyn Reporter>,
        failures: ReporterFailures,
    ) -> io::Result<ReporterThread> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(reporter.name().to_owned())
            .spawn(move || draw(reporter, &receiver, &failures))?;
        Ok(ReporterThread { sender, thread })
    }

    /// Closes the queue, waits until it is empty, and returns the reporter unless it was switched off.
    fn drain(self) -> Option<Box<dyn Reporter>> {
        drop(self.sender);
        self.thread.join().ok().flatten()
    }
}

fn draw(
    reporter: Box<dyn Reporter>,
    receiver: &mpsc::Receiver<Arc<Delivery>>,
    failures: &ReporterFailures,
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
        // Ticks follow the clock and not the queue: elapsed times move under a steady flow of events too.
        if error.is_none() && Instant::now() >= next_tick {
            error = call(&mut reporter, |reporter| reporter.tick());
            next_tick = Instant::now() + TICK;
        }
        if let Some(error) = error {
            lock(failures).push(ReporterFailure {
                reporter: name,
                error,
                announced: false,
            });
            return None;
        }
    }
}

/// Calls the reporter. On an error or a panic, drops the reporter and returns the error.
fn call(
    slot: &mut Option<Box<dyn Reporter>>,
    body: impl FnOnce(&mut dyn Reporter) -> io::Result<()>,
) -> Option<io::Error> {
    let reporter = slot.as_mut()?;
    // Unwind safety: the reporter is never called again after a panic.
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
