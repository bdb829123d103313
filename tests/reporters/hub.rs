//! The hub: what it promises to the run and to each reporter, whatever another reporter does.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use isar_build_all::event::OUTPUT_BACKLOG;
use isar_build_all::event::outcome::{Outcome, RunOutcome};
use isar_build_all::event::{Event, EventKind, OutputStream};
use isar_build_all::event::{Hub, Reporter};

use crate::script::clock_at;

/// Keeps what it is given.
#[derive(Clone, Default)]
struct Keeper {
    events: Arc<Mutex<Vec<Event>>>,
    finished: Arc<AtomicBool>,
}

impl Keeper {
    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

impl Reporter for Keeper {
    fn name(&self) -> &'static str {
        "keeper"
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.events.lock().unwrap().push(event.clone());
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.finished.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// Does something wrong at its second event.
struct Bad(fn() -> io::Result<()>, u32);

impl Reporter for Bad {
    fn name(&self) -> &'static str {
        "bad"
    }

    fn event(&mut self, _event: &Event) -> io::Result<()> {
        self.1 += 1;
        assert!(self.1 <= 2, "called after it was switched off");
        if self.1 == 2 { self.0() } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        panic!("finished after it was switched off");
    }
}

/// Stands still at its first event until it is let go, as a stopped terminal does.
#[derive(Clone, Default)]
struct Stuck {
    free: Arc<(Mutex<bool>, Condvar)>,
    seen: Keeper,
}

impl Stuck {
    fn let_go(&self) {
        *self.free.0.lock().unwrap() = true;
        self.free.1.notify_all();
    }
}

impl Reporter for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let mut free = self.free.0.lock().unwrap();
        while !*free {
            free = self.free.1.wait(free).unwrap();
        }
        self.seen.event(event)
    }
}

fn ready(number: usize) -> EventKind {
    EventKind::NodeReady {
        node: format!("build:m/{number}"),
    }
}

fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not happen within five seconds");
}

#[test]
fn a_reporter_that_fails_is_switched_off_and_the_others_are_told() {
    let broken: fn() -> io::Result<()> = || Err(io::Error::other("no space"));
    for (fault, said) in [
        (broken, "no space"),
        (|| panic!("oh no"), "it panicked: oh no"),
    ] {
        let keeper = Keeper::default();
        let reporters: Vec<Box<dyn Reporter>> =
            vec![Box::new(Bad(fault, 0)), Box::new(keeper.clone())];
        let (hub, sink) = Hub::start("r", clock_at(0), reporters).unwrap();
        for number in 0..10 {
            sink.emit(ready(number));
        }
        let is_told = || {
            keeper.events().iter().any(|event| {
                matches!(&event.kind, EventKind::Warning { message, .. }
                    if *message == format!("reporter `bad` was switched off: {said}"))
            })
        };
        wait_for(is_told);
        sink.emit(EventKind::RunFinished {
            outcome: RunOutcome::Succeeded,
            exit: 0,
            seconds: 0.0,
        });
        drop(sink);
        let failures = hub.join();
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].reporter, "bad");
        assert_eq!(failures[0].error.to_string(), said);
        assert!(keeper.finished.load(Ordering::SeqCst));
        let events = keeper.events();
        assert_eq!(events.len(), 12, "ten, the warning, the end");
        assert!(matches!(
            events.last().unwrap().kind,
            EventKind::RunFinished { .. }
        ));
    }
}

#[test]
fn a_reporter_that_stands_still_holds_up_neither_the_run_nor_the_record() {
    let (stuck, keeper) = (Stuck::default(), Keeper::default());
    let reporters: Vec<Box<dyn Reporter>> = vec![Box::new(stuck.clone()), Box::new(keeper.clone())];
    let (hub, sink) = Hub::start("r", clock_at(0), reporters).unwrap();
    for number in 0..50_000 {
        sink.emit(ready(number));
    }
    wait_for(|| keeper.events().len() == 50_000);
    assert!(stuck.seen.events().is_empty());
    stuck.let_go();
    drop(sink);
    assert!(hub.join().is_empty());
    assert_eq!(stuck.seen.events(), keeper.events());
}

#[test]
fn under_a_flood_no_state_is_lost_and_every_line_is_shown_or_counted() {
    const WRITERS: usize = 4;
    const LINES: usize = 30_000;
    let stuck = Stuck::default();
    let keeper = Keeper::default();
    let reporters: Vec<Box<dyn Reporter>> = vec![Box::new(stuck.clone()), Box::new(keeper.clone())];
    let (hub, sink) = Hub::start("r", clock_at(0), reporters).unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let sink = sink.clone();
            std::thread::spawn(move || {
                let node = format!("build:m/{writer}");
                for line in 0..LINES {
                    sink.output(&node, OutputStream::Stdout, &line.to_string());
                    if line % 1000 == 0 {
                        sink.emit(ready(writer));
                    }
                }
                sink.emit(EventKind::NodeFinished {
                    node,
                    outcome: Outcome::Succeeded,
                    seconds: 0.0,
                    why: None,
                    hint: None,
                });
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    // The backlog was full, so lines were dropped; now there is room again.
    stuck.let_go();
    drop(sink);
    assert!(hub.join().is_empty());
    let events = keeper.events();
    assert_eq!(events, stuck.seen.events());
    let mut states = 0;
    for writer in 0..WRITERS {
        let node = format!("build:m/{writer}");
        let (mut shown, mut dropped, mut last) = (0, 0, -1);
        let mut is_over = false;
        for event in events
            .iter()
            .filter(|event| event.kind.node() == Some(&node))
        {
            assert!(!is_over, "nothing of a node comes after its end");
            match &event.kind {
                EventKind::Output { line, .. } => {
                    let line: i64 = line.parse().unwrap();
                    assert!(line > last, "lines keep their order");
                    last = line;
                    shown += 1;
                }
                EventKind::OutputDropped { lines, .. } => dropped += lines,
                EventKind::NodeFinished { .. } => is_over = true,
                _ => states += 1,
            }
        }
        assert!(is_over);
        assert_eq!(shown + dropped, LINES as u64);
    }
    assert_eq!(states, WRITERS * LINES / 1000);
    let shown = events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Output { .. }))
        .count();
    assert!((OUTPUT_BACKLOG..WRITERS * LINES).contains(&shown));
    let in_order = events.iter().zip(0..).all(|(event, seq)| event.seq == seq);
    assert!(in_order, "numbers have no gap");
}

#[test]
fn reporters_finish_in_order_after_all_have_seen_everything() {
    struct Ordered(&'static str, Arc<Mutex<Vec<String>>>);
    impl Reporter for Ordered {
        fn name(&self) -> &'static str {
            self.0
        }
        fn event(&mut self, _event: &Event) -> io::Result<()> {
            if self.0 == "slow" {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.1.lock().unwrap().push(format!("{} event", self.0));
            Ok(())
        }
        fn finish(&mut self) -> io::Result<()> {
            self.1.lock().unwrap().push(format!("{} finish", self.0));
            Ok(())
        }
    }
    let log = Arc::default();
    let reporters: Vec<Box<dyn Reporter>> = vec![
        Box::new(Ordered("fast", Arc::clone(&log))),
        Box::new(Ordered("slow", Arc::clone(&log))),
    ];
    let (hub, sink) = Hub::start("r", clock_at(0), reporters).unwrap();
    (0..20).for_each(|number| sink.emit(ready(number)));
    drop(sink);
    assert!(hub.join().is_empty());
    let log = log.lock().unwrap();
    assert_eq!(log[40..], ["fast finish", "slow finish"]);
}

#[test]
fn ticks_come_under_a_steady_flow_too() {
    struct Ticking(Arc<AtomicBool>);
    impl Reporter for Ticking {
        fn name(&self) -> &'static str {
            "ticking"
        }
        fn event(&mut self, _event: &Event) -> io::Result<()> {
            Ok(())
        }
        fn tick(&mut self) -> io::Result<()> {
            self.0.store(true, Ordering::SeqCst);
            Ok(())
        }
    }
    let ticked = Arc::new(AtomicBool::new(false));
    let reporter = Box::new(Ticking(Arc::clone(&ticked)));
    let (hub, sink) = Hub::start("r", clock_at(0), vec![reporter]).unwrap();
    wait_for(|| {
        sink.emit(ready(0));
        ticked.load(Ordering::SeqCst)
    });
    drop(sink);
    assert!(hub.join().is_empty());
}
