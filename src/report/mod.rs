//! The event hub and the reporters that draw its events, one file a reporter.
//!
//! State events never block the one who emits them and are never lost. Output lines are bounded: when
//! reporters cannot keep up they are dropped and counted, and the count becomes an event; the log file
//! of the variant has every line. A reporter that fails is switched off and recorded; the others go on.
//! Knows nothing but events.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use jiff::Timestamp;

use crate::model::event::{EVENT_VERSION, Event, EventKind, Stream};

/// Output lines that may wait for the reporters at one time.
const OUTPUT_BACKLOG: usize = 10_000;

/// Draws events. One implementation a file.
pub trait Reporter: Send {
    /// A short name, for the message when it fails.
    fn name(&self) -> &'static str;

    /// Draws one event.
    ///
    /// # Errors
    /// Whatever its output gives; the reporter is then not called again.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Called now and then between events, for what moves by itself such as elapsed times.
    ///
    /// # Errors
    /// As [`Reporter::event`].
    fn tick(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Called once after the last event.
    ///
    /// # Errors
    /// As [`Reporter::event`].
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the time of events comes from; passed in so that tests have stable output.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

enum Message {
    Event(EventKind),
    Output(EventKind),
}

/// The sending side of the hub; cheap to clone.
#[derive(Clone)]
pub struct EventSink {
    sender: mpsc::Sender<Message>,
    backlog: Arc<AtomicUsize>,
    dropped: Arc<std::sync::Mutex<BTreeMap<String, u64>>>,
}

impl EventSink {
    /// Emits a change of state. Never blocks, is never lost.
    pub fn emit(&self, kind: EventKind) {
        // The receiver ends only after every sink is dropped, so a failed send means that the hub's
        // thread died; there is nobody left to tell.
        let _ = self.sender.send(Message::Event(kind));
    }

    /// Emits a child's output line, or counts it as dropped where reporters are too far behind.
    pub fn output(&self, node: &str, stream: Stream, line: &str) {
        let waiting = self.backlog.fetch_add(1, Ordering::Relaxed);
        if waiting >= OUTPUT_BACKLOG {
            self.backlog.fetch_sub(1, Ordering::Relaxed);
            let mut dropped = lock(&self.dropped);
            *dropped.entry(node.to_owned()).or_default() += 1;
            return;
        }
        let kind = EventKind::Output {
            node: node.to_owned(),
            stream,
            line: line.to_owned(),
        };
        let _ = self.sender.send(Message::Output(kind));
    }

    /// Emits a warning.
    pub fn warn(&self, node: Option<&str>, message: impl Into<String>, hint: Option<String>) {
        self.emit(EventKind::Warning {
            node: node.map(str::to_owned),
            message: message.into(),
            hint,
        });
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A reporter that was switched off, and why.
#[derive(Debug)]
pub struct ReporterFailure {
    /// Its name.
    pub reporter: &'static str,
    /// What it said.
    pub error: io::Error,
}

/// The hub's thread; joined at the end of a run.
pub struct Hub {
    thread: thread::JoinHandle<Vec<ReporterFailure>>,
}

impl Hub {
    /// Starts a hub for run `run` with its reporters.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        run: &str,
        clock: Clock,
        reporters: Vec<Box<dyn Reporter>>,
    ) -> io::Result<(Hub, EventSink)> {
        let (sender, receiver) = mpsc::channel();
        let backlog = Arc::new(AtomicUsize::new(0));
        let dropped = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
        let mut worker = Worker {
            run: run.to_owned(),
            clock,
            seq: 0,
            reporters: reporters.into_iter().map(Some).collect(),
            failures: Vec::new(),
        };
        let sink = EventSink {
            sender,
            backlog: Arc::clone(&backlog),
            dropped: Arc::clone(&dropped),
        };
        let thread = thread::Builder::new()
            .name("reporters".to_owned())
            .spawn(move || worker.work(&receiver, &backlog, &dropped))?;
        Ok((Hub { thread }, sink))
    }

    /// Waits until every event is drawn; every [`EventSink`] must have been dropped. Returns the
    /// reporters that failed.
    #[must_use]
    pub fn join(self) -> Vec<ReporterFailure> {
        self.thread.join().unwrap_or_default()
    }
}

struct Worker {
    run: String,
    clock: Clock,
    seq: u64,
    reporters: Vec<Option<Box<dyn Reporter>>>,
    failures: Vec<ReporterFailure>,
}

impl Worker {
    fn work(
        &mut self,
        receiver: &mpsc::Receiver<Message>,
        backlog: &AtomicUsize,
        dropped: &std::sync::Mutex<BTreeMap<String, u64>>,
    ) -> Vec<ReporterFailure> {
        loop {
            match receiver.recv_timeout(std::time::Duration::from_millis(200)) {
                Ok(Message::Event(kind)) => {
                    self.say_dropped(dropped);
                    self.draw(kind);
                }
                Ok(Message::Output(kind)) => {
                    self.draw(kind);
                    backlog.fetch_sub(1, Ordering::Relaxed);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.say_dropped(dropped);
                    self.each(|reporter| reporter.tick());
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        self.say_dropped(dropped);
        self.each(|reporter| reporter.finish());
        std::mem::take(&mut self.failures)
    }

    fn say_dropped(&mut self, dropped: &std::sync::Mutex<BTreeMap<String, u64>>) {
        for (node, lines) in std::mem::take(&mut *lock(dropped)) {
            self.draw(EventKind::OutputDropped { node, lines });
        }
    }

    fn draw(&mut self, kind: EventKind) {
        let event = Event {
            v: EVENT_VERSION,
            seq: self.seq,
            time: (self.clock)(),
            run: self.run.clone(),
            kind,
        };
        self.seq += 1;
        self.each(|reporter| reporter.event(&event));
    }

    fn each(&mut self, mut call: impl FnMut(&mut dyn Reporter) -> io::Result<()>) {
        for slot in &mut self.reporters {
            if let Some(reporter) = slot
                && let Err(error) = call(reporter.as_mut())
            {
                self.failures.push(ReporterFailure {
                    reporter: reporter.name(),
                    error,
                });
                *slot = None;
            }
        }
    }
}
