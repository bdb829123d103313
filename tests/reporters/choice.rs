//! The choice of reporters: a new one is an entry in an array.

use std::io::{self, Write};
use std::path::PathBuf;

use isar_build_all::event::{Event, EventKind, Hub, Reporter};
use isar_build_all::report::{self, REPORTERS, ReportContext, ReporterEntry};

use crate::script::{clock_at, success};

/// Counts events in a file beside the record.
struct Counter {
    count: usize,
    path: PathBuf,
}

const COUNTER: ReporterEntry = ReporterEntry {
    name: "counter",
    suits: |context| context.verbose,
    make: |context| {
        Ok(Box::new(Counter {
            count: 0,
            path: context.record.with_file_name("count"),
        }))
    },
};

impl Reporter for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn event(&mut self, _event: &Event) -> io::Result<()> {
        self.count += 1;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        write!(std::fs::File::create(&self.path)?, "{}", self.count)
    }
}

fn context(record: PathBuf) -> ReportContext {
    ReportContext {
        clock: clock_at(0),
        ci: None,
        stderr_is_terminal: true,
        verbose: false,
        stdout_color: false,
        stderr_color: false,
        stdout_columns: None,
        record,
        events: None,
        step_summary: None,
    }
}

#[test]
fn an_added_reporter_draws_the_runs_that_it_suits() {
    let dir = tempfile::tempdir().unwrap();
    let mut context = context(dir.path().join("events.jsonl"));
    let entries = [REPORTERS[0], COUNTER];
    assert_eq!(report::suitable(&entries, &context).len(), 1);
    context.verbose = true;

    let reporters = report::make(&entries, &context).unwrap();
    let (hub, sink) = Hub::start("run", clock_at(0), reporters).unwrap();
    let kinds: Vec<EventKind> = success().into_iter().map(|event| event.kind).collect();
    let count = kinds.len();
    for kind in kinds {
        sink.emit(kind);
    }
    drop(sink);

    assert!(hub.join().is_empty());
    let counted = std::fs::read_to_string(dir.path().join("count")).unwrap();
    assert_eq!(counted, count.to_string());
    let record = std::fs::read_to_string(dir.path().join("events.jsonl")).unwrap();
    assert_eq!(record.lines().count(), count);
}

#[test]
fn an_output_that_cannot_be_opened_is_an_error_that_names_it() {
    let context = context(PathBuf::from("/nonexistent/events.jsonl"));

    let error = report::make(&REPORTERS[..1], &context).err().unwrap();

    assert_eq!(
        error.to_string(),
        "/nonexistent/events.jsonl cannot be written: No such file or directory (os error 2)"
    );
}
