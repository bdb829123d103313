//! A silent build is looked at, and told for what it is: the built binary with a build that sleeps, that
//! works, that waits for a lock, and one that hangs in the kernel for good.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use isar_build_all::bitbake::silence::History;
use isar_build_all::matrix::VariantKey;
use isar_build_all::state::StateDir;
use isar_build_all::state::records::Records;
use serde_json::Value;
use support::project::{Project, outcome};

/// Long enough for a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

const TASK: &str = "isar-image-base-1.0-r0:do_image_wic";

/// The build of qemuamd64/base begins its task, does `script`, ends its task and deploys.
fn project(script: &str) -> Project {
    let project = Project::new();
    let say = |state: &str| {
        format!("say 'NOTE: recipe isar-image-base-1.0-r0: task do_image_wic: {state}'")
    };
    let script = format!(
        "{}\n{script}\n{}\ndeploy\n",
        say("Started"),
        say("Succeeded")
    );
    project.instead("qemuamd64.base", &script);
    project
}

/// A run of that variant, in which two seconds of silence are too many.
struct Run<'a> {
    project: &'a Project,
    child: Child,
}

impl Run<'_> {
    fn start<'a>(project: &'a Project, args: &[&str]) -> Run<'a> {
        let mut all = vec!["--variant", "qemuamd64/base", "--events", "events.jsonl"];
        all.extend(args);
        let file = |name: &str| File::create(project.path().join(name)).unwrap();
        let child = project
            .command(&all)
            .env("ISAR_BUILD_ALL_SILENCE_LIMIT", "2")
            .env("ISAR_BUILD_ALL_STOP_TIMEOUT", "5")
            .env("ISAR_BUILD_ALL_LOG", "isar_build_all=debug")
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Run { project, child }
    }

    /// What has been said so far of a silence.
    fn told(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.project.path().join("events.jsonl")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["kind"] == "warning")
            .filter(|event| {
                let message = event["message"].as_str().unwrap_or_default();
                message.contains("has been silent for")
            })
            .collect()
    }

    fn wait_until_told(&self, what: &str) -> Value {
        let mut found = None;
        support::eventually(PATIENCE, || {
            found = self
                .told()
                .into_iter()
                .find(|event| event.to_string().contains(what));
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("`{what}` was not told: {:?}\n{}", self.told(), self.log()))
    }

    fn log(&self) -> String {
        self.project.read("stderr")
    }

    fn looks(&self, finding: &str) -> usize {
        self.log().matches(&format!("activity={finding}")).count()
    }

    fn end(mut self) -> (Option<i32>, Vec<Value>) {
        let code = self.child.wait().unwrap().code();
        assert!(
            [Some(0), Some(10)].contains(&code),
            "{code:?}\n{}",
            self.log()
        );
        (code, self.project.events("events.jsonl"))
    }
}

fn kill(project: &Project, file: &str) {
    let pid = support::pid_in(&project.path().join("fake").join(file));
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn records(project: &Project) -> Records {
    let state = StateDir::at(project.path().join(".isar-build-all"));
    state.create().unwrap();
    Records::open(&state.records()).unwrap()
}

fn base() -> VariantKey {
    VariantKey {
        machine: "qemuamd64".to_owned(),
        id: "base".to_owned(),
    }
}

#[test]
fn a_task_that_sleeps_is_told_of_once_and_goes_on() {
    let project = project(
        "echo $$ > $FAKE_DIR/first-process\nsleep 300 & echo $! > $FAKE_DIR/sleeper\nwait $! || true",
    );
    let begin = Instant::now();
    let run = Run::start(&project, &["--kill-hung"]);
    let told = run.wait_until_told("sleeps");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!("{TASK} has been silent for ")),
        "{message}"
    );
    assert!(message.contains(": sleep (pid "), "{message}");
    assert_eq!(told["node"], "build:qemuamd64/base");
    // Long enough to be remembered.
    std::thread::sleep(Duration::from_secs(12).saturating_sub(begin.elapsed()));
    kill(&project, "sleeper");
    let told = run.told().len();
    let (code, events) = run.end();
    assert_eq!(code, Some(0));
    assert_eq!(outcome(&events, "build:qemuamd64/base"), "succeeded");
    assert_eq!(told, 1);
    let silences = records(&project).silences(&base()).unwrap();
    assert!(silences[TASK] >= Duration::from_secs(10), "{silences:?}");
}

#[test]
fn a_task_that_works_is_never_told_of() {
    let project =
        project("sh -c 'while :; do :; done' & echo $! > $FAKE_DIR/worker\nwait $! || true");
    let run = Run::start(&project, &["--kill-hung"]);
    assert!(
        support::eventually(PATIENCE, || run.looks("Working") >= 2),
        "{}",
        run.log()
    );
    kill(&project, "worker");
    assert_eq!(run.told(), Vec::<Value>::new());
    let (code, _) = run.end();
    assert_eq!(code, Some(0));
}

#[test]
fn a_task_that_waits_for_a_lock_is_told_so() {
    let project = project("flock $FAKE_DIR/lock true");
    let lock = File::create(project.path().join("fake/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let run = Run::start(&project, &[]);
    let told = run.wait_until_told("flock (pid ");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("waits for a lock on "),
        "{told}"
    );
    drop(lock);
    let (code, _) = run.end();
    assert_eq!(code, Some(0));
}

#[test]
fn a_task_that_was_always_silent_is_not_looked_at() {
    let project = project("sleep 8");
    let always = History::from([(TASK.to_owned(), Duration::from_secs(600))]);
    records(&project).record_silences(&base(), &always).unwrap();
    let run = Run::start(&project, &[]);
    let log = project.path().join("stderr");
    let (code, _) = run.end();
    assert_eq!(code, Some(0));
    let log = fs::read_to_string(log).unwrap();
    assert!(!log.contains("silent build"), "{log}");
}

/// A file system that takes no writes: whoever writes to it sleeps in the kernel until it does again.
struct Frozen {
    directory: PathBuf,
    helper: Child,
    input: Option<ChildStdin>,
}

impl Frozen {
    /// Whatever becomes of the test, its end of the pipe is closed; and nothing stays frozen for longer
    /// than a minute.
    const HELPER: &str = "set -eu
        truncate -s 16M \"$1.image\"; mkfs.ext4 -q -F \"$1.image\"
        mkdir \"$1\"; mount -o loop \"$1.image\" \"$1\"
        trap 'fsfreeze --unfreeze \"$1\"; umount \"$1\" || umount -l \"$1\"' EXIT
        chmod 777 \"$1\"; fsfreeze --freeze \"$1\"
        echo frozen; timeout 60 cat || true";

    fn new(directory: &Path) -> Frozen {
        let directory = directory.join("frozen");
        let mut helper = Command::new("/usr/bin/sudo")
            .args([
                "-n",
                "env",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                "sh",
                "-c",
                Frozen::HELPER,
                "sh",
            ])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = helper.stdin.take();
        let mut said = String::new();
        let mut output = BufReader::new(helper.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        assert_eq!(
            said, "frozen\n",
            "a file system can be made, mounted and frozen"
        );
        Frozen {
            directory,
            helper,
            input,
        }
    }

    fn thaw(&mut self) {
        self.input = None;
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.thaw();
        // It ends by itself; a test that has failed already says why.
        let _ = self.helper.wait();
    }
}

#[test]
fn a_build_that_hangs_in_the_kernel_is_told_of_and_given_up_where_that_is_wished() {
    for kills in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let mut frozen = Frozen::new(place.path());
        let project = project(&format!(
            "echo $$ > $FAKE_DIR/first-process\ncp /etc/passwd {}/image.wic || true\n: > $FAKE_DIR/went-on",
            frozen.directory.display()
        ));
        let run = Run::start(&project, if kills { &["--kill-hung"] } else { &[] });
        let told = run.wait_until_told("hangs in the kernel");
        let message = told["message"].as_str().unwrap();
        assert!(message.contains(": cp (pid "), "{message}");
        assert!(told["hint"].as_str().unwrap().contains("/stack"), "{told}");
        if kills {
            assert!(
                support::eventually(PATIENCE, || run.log().contains("kills a hung build")),
                "{}",
                run.log()
            );
        } else {
            // For longer than it takes to be given up.
            std::thread::sleep(Duration::from_secs(5));
        }
        frozen.thaw();
        let (code, events) = run.end();
        let node = "build:qemuamd64/base";
        let went_on = project.path().join("fake/went-on").exists();
        assert_eq!(went_on, !kills, "what is given up is stopped");
        if !kills {
            assert_eq!(
                (code, outcome(&events, node).as_str()),
                (Some(0), "succeeded")
            );
            continue;
        }
        assert_eq!(
            (code, outcome(&events, node).as_str()),
            (Some(10), "failed")
        );
        let end = events
            .iter()
            .find(|event| event["kind"] == "node_finished" && event["node"] == node)
            .unwrap();
        let why = end["why"].as_str().unwrap();
        assert!(
            why.starts_with("killed because it hangs: cp (pid "),
            "{why}"
        );
    }
}
