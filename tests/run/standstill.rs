//! A state directory that does not answer: output, progress and signals go on meanwhile.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::eventually;
use support::project::Project;

/// A run of the arm64 variant whose build writes a line every 100 ms until it is stopped.
fn talkative(project: &Project) -> Child {
    let talk = "trap 'echo stopped > \"$FAKE_DIR/stopped\"; exit 1' TERM INT; \
                number=0; while :; do number=$((number + 1)); echo \"line $number\"; sleep 0.1; done";
    project.instead("qemuarm64.base", talk);
    project
        .command(&["--machine", "qemuarm64", "--events", "events.jsonl"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// How many lines of the build have become events.
fn lines(project: &Project) -> usize {
    let events = fs::read_to_string(project.path().join("events.jsonl")).unwrap_or_default();
    events.matches("\"line\":\"line ").count()
}

#[test]
fn output_and_signals_go_on_while_the_records_do_not_answer() {
    let project = Project::new();
    let mut child = talkative(&project);
    assert!(eventually(Duration::from_secs(30), || lines(&project) > 2));
    // Another writer holds the database; SQLite waits for 30 s.
    let records = project.path().join(".isar-build-all/records.sqlite");
    let other = rusqlite::Connection::open(records).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();

    let before = lines(&project);
    assert!(
        eventually(Duration::from_secs(5), || lines(&project) > before + 5),
        "output goes on"
    );
    let pid = Pid::from_child(&child);
    let begin = Instant::now();
    kill_process(pid, Signal::INT).unwrap();
    let stopped = project.path().join("fake/stopped");
    assert!(
        eventually(Duration::from_secs(5), || stopped.exists()),
        "the first signal stops the build"
    );
    // The end of the build cannot be recorded: further signals end the wait for that.
    let ended = eventually(Duration::from_secs(20), || {
        std::thread::sleep(Duration::from_millis(500));
        let ended = child.try_wait().unwrap();
        if ended.is_none() {
            let _ = kill_process(pid, Signal::INT);
        }
        ended.is_some()
    });

    assert!(ended, "the run goes on after {:?}", begin.elapsed());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    other.execute_batch("ROLLBACK").unwrap();
}
