//! A reporter that a caller adds to the tool: a type that implements `Reporter`, its entry, and one line.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use isar_build_all::commands::Tool;
use isar_build_all::event::{Event, Reporter};
use isar_build_all::report::ReporterEntry;
use support::project::Project;

/// Writes the number of events beside the run's record.
struct Counter {
    count: usize,
    path: PathBuf,
}

const COUNTER: ReporterEntry = ReporterEntry {
    name: "counter",
    suits: |_| true,
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

    fn event(&mut self, _: &Event) -> io::Result<()> {
        self.count += 1;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        write!(fs::File::create(&self.path)?, "{}", self.count)
    }
}

fn tool() -> Tool {
    let mut tool = Tool::standard();
    tool.parts.reporters.push(COUNTER);
    tool
}

#[test]
fn an_added_reporter_draws_a_run() {
    let project = Project::new();
    project.write("artifacts/qemuarm64/isar-base-qemuarm64.wic", "an image");
    let file = project.path().join("variants.toml");
    let words = [
        "isar-build-all",
        "--file",
        file.to_str().unwrap(),
        "--machine",
        "qemuarm64",
        "--hash-only",
        "--store",
        "local",
    ];

    let code = tool().main(words.map(Into::into));

    assert_eq!(code, ExitCode::SUCCESS);
    let runs = fs::read_dir(project.path().join(".isar-build-all/runs")).unwrap();
    let run = runs.map(|run| run.unwrap().path()).next().unwrap();
    let counted = fs::read_to_string(run.join("count")).unwrap();
    let record = fs::read_to_string(run.join("events.jsonl")).unwrap();
    assert_eq!(counted, record.lines().count().to_string());
}
