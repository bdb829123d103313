//! The watcher, shown by killing the run that needs it. The run is this program, started again; containers are
//! files that a fake engine keeps.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use isar_build_all::exec::watcher::{Watcher, WatcherError};
use isar_build_all::exec::{Process, ProcessControl, ProcessSpec, StopLevel, Undo};
use rustix::process::{Pid, Signal, getsid, kill_process, kill_process_group};
use support::{eventually, lives, pid_in, script, tool, watcher_of};

/// `run DIR NAME SECONDS`: a container that ends when its file goes; `rm`, `exists` as podman has them.
/// What creates it goes on by itself, as a daemon does, after `delay` seconds.
const ENGINE: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/calls"
case "$1" in
run)
    setsid sh -c "sleep $(cat "$here/delay"); touch '$here/container.$2'" </dev/null >/dev/null 2>&1 &
    while :; do sleep 0.1; done ;;
exists) test -e "$here/container.$2" ;;
after) if [ -e "$here/container.one" ]; then echo early; else echo late; fi >> "$here/after" ;;
rm)
    [ -e "$here/busy" ] && { rm "$here/busy"; echo busy >&2; exit 125; }
    rm -f "$here/container.$2" ;;
esac
"#;

/// The words that start the run in this program, and the variable that says how it behaves.
const ENTRY: [&str; 4] = [
    "--exact",
    "watcher::run_under_a_watcher",
    "--quiet",
    "--nocapture",
];
const ROLE: &str = "ISAR_TEST_RUN";

/// Does nothing, unless [`Scene::run`] started this program as the run that is to be killed.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the message from the test to its run"
)]
fn run_under_a_watcher() {
    if let Ok(how) = std::env::var(ROLE) {
        be_a_run(&how, &std::env::current_dir().unwrap());
    }
}

struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new(delay: &str) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        script(dir.path(), "engine", ENGINE);
        std::fs::write(dir.path().join("delay"), delay).unwrap();
        Scene { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the run that is to be killed, in a group of its own, and waits until it says that it works.
    fn run(&self, how: &str) -> Run {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(ENTRY)
            .current_dir(self.dir.path())
            .env(ROLE, how)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let run = Run(child);
        self.wait_for("working");
        run
    }

    fn wait_for(&self, name: &str) {
        let path = self.path(name);
        assert!(
            eventually(Duration::from_secs(20), || path.exists()),
            "no {name}; {}",
            self.log()
        );
    }

    fn pid(&self, name: &str) -> i32 {
        pid_in(&self.path(name))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("watcher.log")).unwrap_or_default()
    }

    /// Whether everything is gone within 10 s from `since`, and the watcher too soon after.
    fn all_gone(&self, since: Instant) {
        let left = Duration::from_secs(10).saturating_sub(since.elapsed());
        let gone = || {
            !lives(self.pid("leader"))
                && !lives(self.pid("grandchild"))
                && !self.path("container.one").exists()
        };
        assert!(eventually(left, gone), "something is left; {}", self.log());
        let watcher = self.pid("watcher");
        assert!(
            eventually(Duration::from_secs(5), || !lives(watcher)),
            "the watcher stays"
        );
        assert!(gone(), "something came back; {}", self.log());
    }
}

/// A run that does not outlive its test, whatever becomes of it.
struct Run(Child);

impl Run {
    fn kill(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The run: guards, starts a process group with an engine in it, says that it works, and waits.
fn be_a_run(how: &str, dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let watcher = Watcher::start(&tool(), &dir.join("watcher.log")).unwrap();
        let engine = dir.join("engine").display().to_string();
        let words = |args: &[&str]| -> Vec<String> {
            std::iter::once(engine.as_str())
                .chain(args.iter().copied())
                .map(str::to_owned)
                .collect()
        };
        let undo = Undo {
            stop: words(&["rm", "one"]),
            exists: words(&["exists", "one"]),
            marks: vec![format!("TEST_MARK={}", dir.display())],
            after: words(&["after"]),
            ..Undo::default()
        };
        let guard = watcher.guard("one", undo).await.unwrap();
        // The grandchild ignores what can be ignored and lives in a session of its own, as BitBake's
        // server does.
        let script = format!(
            "trap '' TERM INT HUP; setsid sh -c 'echo $$ > {0}/grandchild; exec sleep 100' & {0}/engine run one",
            dir.display()
        );
        let mut spec = ProcessSpec::new("sh").args(["-c", &script]);
        spec.env
            .push(("TEST_MARK".into(), Some(dir.as_os_str().to_owned())));
        let process = Process::spawn(spec).unwrap();
        std::fs::write(dir.join("leader"), process.pgid().to_string()).unwrap();
        if how != "unknown-group" {
            let undo = Undo {
                pgid: Some(process.pgid()),
                ..Undo::default()
            };
            guard.add(undo).await.unwrap();
        }
        while !dir.join("grandchild").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (_sender, stop) = tokio::sync::watch::channel(StopLevel::Run);
        let working = async {
            if how != "early" {
                while !dir.join("container.one").exists() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            std::fs::write(dir.join("watcher"), watcher_of(std::process::id()).unwrap().to_string()).unwrap();
            std::fs::write(dir.join("working"), "").unwrap();
            if how == "drop" {
                // Neither the process nor its container is seen to its end.
                drop(guard);
            } else if how == "release" {
                std::fs::remove_file(dir.join("container.one")).unwrap();
                kill_process_group(Pid::from_raw(pid_in(&dir.join("leader"))).unwrap(), Signal::KILL)
                    .unwrap();
                kill_process(Pid::from_raw(pid_in(&dir.join("grandchild"))).unwrap(), Signal::KILL)
                    .unwrap();
                guard.release();
            } else if how == "watcher-dies" {
                let pid = pid_in(&dir.join("watcher"));
                kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
                let mut dead = watcher.dead();
                dead.wait_for(|dead| *dead).await.unwrap();
                assert!(matches!(
                    watcher.guard("two", Undo::default()).await,
                    Err(WatcherError::Gone)
                ));
                std::fs::write(dir.join("noticed"), "").unwrap();
            } else {
                std::future::pending::<()>().await;
            }
        };
        let running = process.run(|_| {}, ProcessControl::new(stop));
        tokio::join!(running, working);
    });
}

#[test]
fn sigkill_leaves_nothing() {
    let scene = Scene::new("0");
    let mut run = scene.run("normal");
    let since = Instant::now();
    run.kill(Signal::KILL);
    scene.all_gone(since);
    assert!(scene.log().contains("its container was removed"));
}

#[test]
fn what_puts_the_machine_in_order_runs_once_and_last() {
    let scene = Scene::new("0");
    let mut run = scene.run("normal");
    let since = Instant::now();
    run.kill(Signal::KILL);
    let after = || std::fs::read_to_string(scene.path("after")).unwrap_or_default();
    let left = Duration::from_secs(10).saturating_sub(since.elapsed());
    assert!(eventually(left, || !after().is_empty()), "{}", scene.log());
    scene.all_gone(since);
    assert_eq!(after(), "late\n");
}

#[test]
fn every_other_deadly_signal_is_the_same() {
    for signal in [Signal::TERM, Signal::ABORT] {
        let scene = Scene::new("0");
        let mut run = scene.run("normal");
        let since = Instant::now();
        run.kill(signal);
        scene.all_gone(since);
    }
}

#[test]
fn a_signal_to_the_whole_group_does_not_reach_the_watcher() {
    let scene = Scene::new("0");
    let mut run = scene.run("normal");
    let watcher = Pid::from_raw(scene.pid("watcher")).unwrap();
    assert_eq!(getsid(Some(watcher)).unwrap(), watcher, "its own session");
    // Not even when it is meant.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        kill_process(watcher, signal).unwrap();
    }
    let since = Instant::now();
    kill_process_group(Pid::from_child(&run.0), Signal::KILL).unwrap();
    run.0.wait().unwrap();
    scene.all_gone(since);
}

#[test]
fn a_container_that_comes_after_our_death_is_removed() {
    let scene = Scene::new("1000");
    let mut run = scene.run("early");
    let since = Instant::now();
    run.kill(Signal::KILL);
    // An engine's daemon that was asked before we died.
    std::thread::sleep(Duration::from_secs(2));
    std::fs::write(scene.path("container.one"), "").unwrap();
    // Removed once is not enough to believe it: it must have been there.
    assert!(eventually(Duration::from_secs(8), || scene
        .log()
        .contains("its container was removed")));
    scene.all_gone(since);
}

#[test]
fn a_group_that_was_not_told_yet_is_found_by_its_mark() {
    let scene = Scene::new("0");
    let mut run = scene.run("unknown-group");
    let since = Instant::now();
    run.kill(Signal::KILL);
    scene.all_gone(since);
}

#[test]
fn an_engine_that_fails_at_first_is_asked_again() {
    let scene = Scene::new("0");
    let mut run = scene.run("normal");
    std::fs::write(scene.path("busy"), "").unwrap();
    let since = Instant::now();
    run.kill(Signal::KILL);
    scene.all_gone(since);
    assert!(scene.log().contains("exit 125: busy"), "{}", scene.log());
}

#[test]
fn a_guard_that_is_dropped_is_undone_at_once() {
    let scene = Scene::new("0");
    let mut run = scene.run("drop");
    scene.all_gone(Instant::now());
    assert!(run.0.wait().unwrap().success());
    // We live and saw no end, so what puts the machine in order waits for it, too.
    let after = || std::fs::read_to_string(scene.path("after")).unwrap_or_default();
    let settled = || !after().is_empty();
    assert!(
        eventually(Duration::from_secs(20), settled),
        "{}",
        scene.log()
    );
    assert_eq!(after(), "late\n");
}

#[test]
fn what_was_released_is_left_alone() {
    let scene = Scene::new("0");
    let mut run = scene.run("release");
    assert!(run.0.wait().unwrap().success());
    let watcher = scene.pid("watcher");
    assert!(eventually(Duration::from_secs(5), || !lives(watcher)));
    let calls = std::fs::read_to_string(scene.path("calls")).unwrap();
    assert_eq!(calls, "run one\n", "the engine was not asked anything");
    assert_eq!(scene.log(), "");
}

#[test]
fn the_death_of_the_watcher_is_noticed() {
    let scene = Scene::new("0");
    let mut run = scene.run("watcher-dies");
    scene.wait_for("noticed");
    assert!(lives(scene.pid("leader")), "the work goes on");
    let _ = kill_process_group(Pid::from_raw(scene.pid("leader")).unwrap(), Signal::KILL);
    let _ = kill_process(
        Pid::from_raw(scene.pid("grandchild")).unwrap(),
        Signal::KILL,
    );
    run.0.wait().unwrap();
}

/// A CI runner waits for the end of the pipes that it gave us; the watcher must not hold one, not even a
/// descriptor that we do not know of.
#[test]
fn no_inherited_descriptor_stays_open() {
    let scene = Scene::new("0");
    let (mut reader, writer) = std::io::pipe().unwrap();
    let child = Command::new("sh")
        .arg("-c")
        .arg("exec 7>&1; exec \"$0\" \"$@\"")
        .arg(std::env::current_exe().unwrap())
        .args(ENTRY)
        .current_dir(scene.dir.path())
        .env(ROLE, "normal")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    let mut run = Run(child);
    scene.wait_for("working");
    let descriptors = format!("/proc/{}/fd", scene.pid("watcher"));
    let mut kinds: Vec<String> = std::fs::read_dir(descriptors)
        .unwrap()
        .flatten()
        .map(|entry| {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            target.display().to_string()
        })
        .filter(|target| target.starts_with("pipe:"))
        .collect();
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds.len(), 2, "requests and answers alone: {kinds:?}");
    // The group of what it started inherited descriptor 7 as well, so that goes first.
    run.kill(Signal::KILL);
    let since = Instant::now();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    scene.all_gone(since);
}

#[test]
fn a_program_that_is_no_watcher_is_told() {
    let scene = Scene::new("0");
    let error = Watcher::start(Path::new("/no/such/program"), &scene.path("log"))
        .err()
        .unwrap();
    assert!(matches!(error, WatcherError::Start { .. }), "{error}");
    let error = Watcher::start(Path::new("/bin/true"), &scene.path("log"))
        .err()
        .unwrap();
    assert!(matches!(error, WatcherError::NotReady { .. }), "{error}");
}
