//! The sending side of the hub: emits events from any thread and never blocks.
//!
//! A change of state is never lost. Output lines are bounded by [`OUTPUT_BACKLOG`]: beyond it a line is
//! dropped and counted, and the hub turns the count into an event.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use crate::event::{EventKind, OutputStream};

/// The most output lines that wait for the slowest reporter at one time.
pub const OUTPUT_BACKLOG: usize = 10_000;

/// An event without its number and time, on its way to the hub.
pub(super) struct PendingEvent {
    pub(super) kind: EventKind,
    /// Set for output lines alone.
    pub(super) slot: Option<BacklogSlot>,
}

/// One line's share of [`OUTPUT_BACKLOG`], returned when the last reporter has drawn the line.
pub(super) struct BacklogSlot(Arc<AtomicUsize>);

impl Drop for BacklogSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Dropped output lines by node.
pub(super) type DroppedLines = Arc<Mutex<BTreeMap<String, u64>>>;

/// The sending side of the hub; cheap to clone.
#[derive(Clone)]
pub struct EventSink {
    sender: mpsc::Sender<PendingEvent>,
    backlog: Arc<AtomicUsize>,
    dropped: DroppedLines,
}

impl EventSink {
    pub(super) fn new(sender: mpsc::Sender<PendingEvent>) -> EventSink {
        EventSink {
            sender,
            backlog: Arc::new(AtomicUsize::new(0)),
            dropped: DroppedLines::default(),
        }
    }

    pub(super) fn dropped(&self) -> DroppedLines {
        Arc::clone(&self.dropped)
    }

    /// Emits a change of state. Never blocks and never loses it.
    pub fn emit(&self, kind: EventKind) {
        self.send(PendingEvent { kind, slot: None });
    }

    /// Emits a line of a child's output, or counts it as dropped while the backlog is full.
    pub fn output(&self, node: &str, stream: OutputStream, line: &str) {
        let waiting = self.backlog.fetch_add(1, Ordering::Relaxed);
        let slot = BacklogSlot(Arc::clone(&self.backlog));
        if waiting >= OUTPUT_BACKLOG {
            *lock(&self.dropped).entry(node.to_owned()).or_default() += 1;
            return;
        }
        let kind = EventKind::Output {
            node: node.to_owned(),
            stream,
            line: line.to_owned(),
        };
        self.send(PendingEvent {
            kind,
            slot: Some(slot),
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

    /// Emits a detail that reporters show with `--verbose` alone.
    pub fn note(&self, node: Option<&str>, message: impl Into<String>) {
        self.emit(EventKind::Note {
            node: node.map(str::to_owned),
            message: message.into(),
        });
    }

    fn send(&self, event: PendingEvent) {
        // The hub receives until every sink is dropped, so a send fails only after the hub's thread has
        // panicked. No reporter is left to show an error then.
        let _ = self.sender.send(event);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
