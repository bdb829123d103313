//! One real process: lines, limits and ends, with programs that misbehave in every way we know.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use isar_build_all::event::OutputStream;
use isar_build_all::exec::{
    ExecError, MAX_LINE, Process, ProcessControl, ProcessEnd, ProcessOutcome, ProcessOutput,
    ProcessSpec, StopCause, StopLevel,
};
use support::{eventually, lives, pid_in, script};
use tokio::sync::watch;

struct Run {
    finish: ProcessOutcome,
    lines: Vec<(OutputStream, String)>,
    log_errors: usize,
    took: Duration,
}

impl Run {
    fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|(_, text)| text.as_str()).collect()
    }
}

fn shell(script: &str) -> ProcessSpec {
    ProcessSpec::new("sh").args(["-c", script])
}

async fn run(spec: ProcessSpec) -> Run {
    let (_sender, stop) = watch::channel(StopLevel::Run);
    run_with(spec, ProcessControl::new(stop)).await
}

async fn run_with(spec: ProcessSpec, control: ProcessControl<'_>) -> Run {
    let start = Instant::now();
    let mut lines = Vec::new();
    let mut log_errors = 0;
    let finish = Process::spawn(spec)
        .unwrap()
        .run(
            |output| match output {
                ProcessOutput::Line(stream, text) => lines.push((stream, text.to_owned())),
                ProcessOutput::LogFailed(..) => log_errors += 1,
            },
            control,
        )
        .await;
    Run {
        finish,
        lines,
        log_errors,
        took: start.elapsed(),
    }
}

/// Asks for `levels`, each after its delay.
fn stop_after(levels: &'static [(u64, StopLevel)]) -> watch::Receiver<StopLevel> {
    let (sender, receiver) = watch::channel(StopLevel::Run);
    tokio::spawn(async move {
        for (delay, level) in levels {
            tokio::time::sleep(Duration::from_millis(*delay)).await;
            sender.send(*level).unwrap();
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    receiver
}

#[tokio::test]
async fn lines_exit_code_and_log_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a/b/log");
    let mut spec = shell("echo one; echo two >&2; sleep 0.1; printf 'x\\377y'; exit 7");
    spec.log = Some(log.clone());
    let run = run(spec).await;
    assert_eq!(run.finish.ended, ProcessEnd::Exited(7));
    assert!(!run.finish.is_success());
    assert!(
        run.lines
            .contains(&(OutputStream::Stdout, "one".to_owned()))
    );
    assert!(
        run.lines
            .contains(&(OutputStream::Stderr, "two".to_owned()))
    );
    assert_eq!(run.texts().last(), Some(&"x\u{fffd}y"));
    let written = std::fs::read(log).unwrap();
    assert!(written.ends_with(b"x\xffy\n"), "the log has the very bytes");
}

#[tokio::test]
async fn death_by_a_signal_is_told_as_such() {
    let run = run(shell("kill -SEGV $$")).await;
    assert_eq!(run.finish.ended, ProcessEnd::Signalled(11));
    assert_eq!(run.finish.stopped, None);
}

#[tokio::test]
async fn the_environment_is_changed_as_asked_and_python_is_unbuffered() {
    let mut spec = shell("echo $A-$HOME-$PYTHONUNBUFFERED; test -t 0 || readlink /proc/self/fd/0");
    spec.env = vec![("A".into(), Some("1 2".into())), ("HOME".into(), None)];
    assert_eq!(run(spec).await.texts(), ["1 2--1", "/dev/null"]);
}

#[tokio::test]
async fn a_python_line_comes_when_it_is_written() {
    let start = Instant::now();
    let (_sender, stop) = watch::channel(StopLevel::Run);
    let mut first = None;
    let finish = Process::spawn(ProcessSpec::new("python3").args([
        "-c",
        "import time; print('now'); time.sleep(3); print('later')",
    ]))
    .unwrap()
    .run(
        |output| {
            if let ProcessOutput::Line(_, "now") = output {
                first = Some(start.elapsed());
            }
        },
        ProcessControl::new(stop),
    )
    .await;
    assert!(finish.is_success());
    assert!(start.elapsed() >= Duration::from_secs(3));
    assert!(start.elapsed() - first.unwrap() >= Duration::from_millis(2500));
}

#[tokio::test]
async fn a_flood_arrives_complete_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell("seq 1 300000; echo end >&2");
    spec.log = Some(dir.path().join("log"));
    let log = spec.log.clone().unwrap();
    let run = run(spec).await;
    let numbers: Vec<u32> = run
        .lines
        .iter()
        .filter(|(stream, _)| *stream == OutputStream::Stdout)
        .map(|(_, text)| text.parse().unwrap())
        .collect();
    assert!(numbers.iter().copied().eq(1..=300_000));
    assert_eq!(
        std::fs::read_to_string(log).unwrap().lines().count(),
        300_001
    );
}

#[tokio::test]
async fn an_overlong_line_comes_in_pieces() {
    let run = run(shell("head -c 200000 /dev/zero | tr '\\0' x")).await;
    assert_eq!(run.lines.len(), 4);
    assert!(run.texts().iter().all(|text| text.len() <= MAX_LINE));
    assert_eq!(run.texts().concat().len(), 200_000);
}

#[tokio::test]
async fn a_grandchild_that_keeps_the_pipe_does_not_hold_us_and_does_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("sleep 60 & echo $! > {}; echo done", file.display());
    let run = run(shell(&script)).await;
    assert!(run.finish.is_success());
    assert_eq!(run.texts(), ["done"]);
    assert!(run.took < Duration::from_secs(10), "{:?}", run.took);
    let grandchild = pid_in(&file);
    assert!(eventually(Duration::from_secs(2), || !lives(grandchild)));
}

#[tokio::test]
async fn a_graceful_stop_lets_it_finish_what_it_does_at_the_signal() {
    let spec = shell("trap 'echo bye; exit 143' TERM; echo up; while :; do sleep 0.05; done");
    let run = run_with(
        spec,
        ProcessControl::new(stop_after(&[(500, StopLevel::Graceful)])),
    )
    .await;
    assert_eq!(run.finish.ended, ProcessEnd::Exited(143));
    assert_eq!(run.finish.stopped, Some(StopCause::Asked));
    assert!(!run.finish.killed);
    // The shell may say "Terminated" for the sleep that the group's signal ended.
    assert_eq!(run.texts().first(), Some(&"up"));
    assert!(run.texts().contains(&"bye"));
}

#[tokio::test]
async fn the_signal_reaches_the_whole_group() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("sleep 60 & echo $! > {}; wait", file.display());
    let run = run_with(
        shell(&script),
        ProcessControl::new(stop_after(&[(500, StopLevel::Graceful)])),
    )
    .await;
    assert_eq!(run.finish.ended, ProcessEnd::Signalled(15));
    // The group was signalled at once, but each of its processes takes its own time to end.
    let sleeper = pid_in(&file);
    assert!(eventually(Duration::from_secs(5), || !lives(sleeper)));
}

#[tokio::test]
async fn who_ignores_the_signal_is_killed_after_the_stop_timeout() {
    let mut spec = shell("trap '' TERM; echo up; while :; do sleep 0.05; done");
    spec.stop_timeout = Duration::from_millis(700);
    let run = run_with(
        spec,
        ProcessControl::new(stop_after(&[(300, StopLevel::Graceful)])),
    )
    .await;
    assert_eq!(run.finish.ended, ProcessEnd::Signalled(9));
    assert!(run.finish.killed);
    assert!(run.took >= Duration::from_millis(1000));
    assert!(run.took < Duration::from_secs(6), "{:?}", run.took);
}

#[tokio::test]
async fn the_second_request_kills_at_once() {
    let spec = shell("trap '' TERM; echo up; while :; do sleep 0.05; done");
    let stop = stop_after(&[(300, StopLevel::Graceful), (300, StopLevel::Kill)]);
    let run = run_with(spec, ProcessControl::new(stop)).await;
    assert_eq!(run.finish.ended, ProcessEnd::Signalled(9));
    assert!(run.took < Duration::from_secs(5), "{:?}", run.took);
}

#[tokio::test]
async fn a_time_limit_stops_and_says_why() {
    let mut spec = shell("sleep 60");
    spec.time_limit = Some(Duration::from_millis(300));
    let run = run(spec).await;
    assert_eq!(run.finish.ended, ProcessEnd::Signalled(15));
    assert_eq!(run.finish.stopped, Some(StopCause::TimeLimit));
}

#[tokio::test]
async fn the_stop_action_is_called_once_a_level_and_waited_for() {
    let calls = std::sync::Mutex::new(Vec::new());
    let calls = &calls;
    let (_keep, stop) = watch::channel(StopLevel::Graceful);
    let control = ProcessControl::new(stop).with_action(Box::new(move |level| {
        Box::pin(async move {
            calls.lock().unwrap().push((level, false));
            tokio::time::sleep(Duration::from_millis(700)).await;
            calls.lock().unwrap().push((level, true));
        })
    }));
    let run = run_with(shell("sleep 60"), control).await;
    assert_eq!(run.finish.ended, ProcessEnd::Signalled(15));
    assert!(run.took >= Duration::from_millis(700));
    assert_eq!(
        *calls.lock().unwrap(),
        [(StopLevel::Graceful, false), (StopLevel::Graceful, true)]
    );
}

#[tokio::test]
async fn a_stop_action_that_hangs_has_the_same_limit() {
    let (_keep, stop) = watch::channel(StopLevel::Graceful);
    let control =
        ProcessControl::new(stop).with_action(Box::new(|_| Box::pin(std::future::pending())));
    let mut spec = shell("sleep 60");
    spec.stop_timeout = Duration::from_millis(500);
    let run = run_with(spec, control).await;
    assert_eq!(run.finish.ended, ProcessEnd::Signalled(15));
    assert!(run.took < Duration::from_secs(5), "{:?}", run.took);
}

#[tokio::test]
async fn dropping_a_running_process_kills_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("sleep 60 & echo $! > {}; wait", file.display());
    let process = Process::spawn(shell(&script)).unwrap();
    let leader = process.pgid();
    let child = pid_in(&file);
    drop(process);
    assert!(eventually(Duration::from_secs(5), || !lives(child) && !lives(leader)));
}

#[tokio::test]
async fn a_full_disk_under_the_log_is_told_and_the_process_goes_on() {
    let mut spec = shell("echo one; sleep 0.3; echo two; sleep 0.3; echo three");
    spec.log = Some("/dev/full".into());
    let run = run(spec).await;
    assert!(run.finish.is_success());
    assert_eq!(run.texts(), ["one", "two", "three"]);
    assert_eq!(run.log_errors, 1);
}

#[tokio::test]
async fn the_log_is_on_disk_while_the_process_runs() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut spec = shell("echo early; sleep 3");
    spec.log = Some(log.clone());
    let watched = log.clone();
    let seen = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        eventually(Duration::from_secs(10), || {
            std::fs::read_to_string(&watched).is_ok_and(|text| text == "early\n")
        })
        .then(|| start.elapsed())
    });
    run(spec).await;
    assert!(seen.await.unwrap().unwrap() < Duration::from_millis(2500));
}

#[test]
fn a_program_that_cannot_be_started_says_why_and_what_to_do() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644)).unwrap();

    let say = |spec: ProcessSpec| {
        let error = Process::spawn(spec).err().unwrap();
        format!("{error}\nhint: {}", error.hint().unwrap_or_default())
            .replace(dir.path().to_str().unwrap(), "DIR")
    };
    let mut nowhere = ProcessSpec::new("true");
    nowhere.dir = Some(dir.path().join("missing"));
    let mut no_log = ProcessSpec::new("true");
    no_log.log = Some(plain.join("log"));
    insta::assert_snapshot!(
        [
            say(ProcessSpec::new("no-such-program-anywhere")),
            say(ProcessSpec::new(dir.path().join("missing"))),
            say(ProcessSpec::new(&plain)),
            say(ProcessSpec::new(script(dir.path(), "moved", "#!/gone/python3\n"))),
            say(nowhere),
            say(no_log),
        ]
        .join("\n\n"),
        @r"
    cannot run `no-such-program-anywhere`: no such program
    hint: install `no-such-program-anywhere` or set its path in the settings (`isar-build-all doctor` shows what is found)

    cannot run `DIR/missing`: no such program
    hint: check the path: ls -l DIR/missing

    cannot run `DIR/plain`: permission denied
    hint: make it executable: chmod +x DIR/plain

    cannot run `DIR/moved`: the interpreter that its first line names does not exist
    hint: install it again; see: head -n 1 DIR/moved

    cannot run `true` in DIR/missing: not a directory
    hint: 

    cannot write the log DIR/plain/log: File exists (os error 17)
    hint: check the owner of the state directory
    "
    );
    assert!(matches!(
        Process::spawn(ProcessSpec::new(Path::new("no-such-program-anywhere"))),
        Err(ExecError::NotFound { .. })
    ));
}
