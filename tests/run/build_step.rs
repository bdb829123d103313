//! The build step, with a kas-container and an engine that are small scripts: they record what they were
//! given, and behave as a test wants.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use isar_build_all::event::EventKind;
use isar_build_all::event::outcome::Outcome;
use isar_build_all::exec::StopLevel;
use isar_build_all::exec::watcher::Watcher;
use isar_build_all::settings::CommandLine;
use isar_build_all::steps::build::BuildTools;
use isar_build_all::steps::result::StepResult;
use support::{eventually, lives, pid_in, script};
use tokio::sync::watch;

/// Records its words and environment, then does what the test says. `$name` is the container's.
const KAS_CONTAINER: &str = r#"#!/bin/sh
here=$(dirname "$0")
printf '%s\n' "$@" > "$here/argv"
env > "$here/environ"
pwd > "$here/cwd"
name=$(printf '%s' "$3" | sed 's/.*--name \([^ ]*\) .*/\1/')
say() { echo "2026-11-22 03:24:39 - $1" >&2; }
. "$here/behave"
"#;

/// podman as far as it is asked: containers are files.
const PODMAN: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$*" | sed 's/isar-build-all-[^ ]*/NAME/' >> "$here/engine-calls"
for last; do :; done
case "$1 $2" in
"container exists") test -e "$here/container.$last" ;;
"rm -f") rm -f "$here/container.$last" ;;
"stop -t") test -e "$here/container.$last" && : > "$here/stopped" && rm -f "$here/container.$last" ;;
esac
"#;

struct Scene {
    dir: tempfile::TempDir,
    line: CommandLine,
    watcher: Option<Watcher>,
    kas: bool,
    stop: watch::Sender<StopLevel>,
}

struct Built {
    result: StepResult,
    events: Vec<EventKind>,
    took: Duration,
}

impl Scene {
    fn new(behave: &str) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        script(dir.path(), "kas-container", KAS_CONTAINER);
        script(dir.path(), "kas", KAS_CONTAINER);
        script(dir.path(), "podman", PODMAN);
        std::fs::write(dir.path().join("behave"), behave).unwrap();
        std::fs::create_dir(dir.path().join("project")).unwrap();
        Scene {
            dir,
            line: CommandLine {
                stop_timeout: Some(3),
                ..CommandLine::default()
            },
            watcher: None,
            kas: false,
            stop: watch::channel(StopLevel::Run).0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name))
            .unwrap_or_default()
            .replace(self.dir.path().to_str().unwrap(), "DIR")
    }

    async fn build(&self) -> Built {
        let tools = BuildTools {
            runner: support::building::runner(self.dir.path(), self.dir.path(), self.kas),
            watcher: self.watcher.clone(),
            guarding: None,
            project_dir: self.path("project"),
            system_root: self.path("system"),
        };
        let start = Instant::now();
        let (line, stop) = (self.line.clone(), self.stop.subscribe());
        let dir = self.dir.path();
        let (result, events) =
            support::building::build_one(dir, "server-1", line, stop, &tools).await;
        let took = start.elapsed();
        Built {
            result,
            events,
            took,
        }
    }

    /// Builds, and asks for `level` once the build has made `file`.
    async fn build_and_stop(&self, file: &str, level: StopLevel) -> Built {
        let stop = self.stop.clone();
        let path = self.path(file);
        let asked = tokio::task::spawn_blocking(move || {
            assert!(eventually(Duration::from_secs(20), || path.exists()));
            stop.send(level).unwrap();
        });
        let built = self.build().await;
        asked.await.unwrap();
        built
    }

    fn containers(&self) -> usize {
        std::fs::read_dir(self.dir.path())
            .unwrap()
            .flatten()
            .filter(|entry| {
                entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("container.")
            })
            .count()
    }
}

/// The built binary, which is also the watcher.
fn tool() -> PathBuf {
    support::tool()
}

fn told(result: &StepResult) -> String {
    format!(
        "{}: {}\nhint: {}",
        result.outcome.as_str(),
        result.why.as_deref().unwrap_or_default(),
        result.hint.as_deref().unwrap_or_default()
    )
}

#[tokio::test]
async fn kas_container_gets_the_words_and_variables_that_it_needs() {
    let mut scene = Scene::new("exit 0");
    scene.line.image = Some(Some("localhost/kas-isar:1".to_owned()));
    scene.line.mounts = Some(vec!["/srv/mirror:/mirror:ro".to_owned()]);
    scene.line.runtime_args = Some(vec!["--cpus 2".to_owned(), "--pids-limit=9".to_owned()]);
    scene.line.kas_args = Some(["--force-checkout", "--", "-v"].map(str::to_owned).to_vec());
    scene.line.env = Some([("A".to_owned(), "b=c".to_owned())].into());
    let built = scene.build().await;
    assert_eq!(built.result, StepResult::succeeded());
    assert_eq!(scene.read("cwd"), "DIR/project\n");
    let mut environ: Vec<String> = scene
        .read("environ")
        .lines()
        .filter(|line| {
            [
                "KAS_",
                "DL_DIR",
                "SSTATE_DIR",
                "PYTHONUNBUFFERED=",
                "A=",
                "ISAR_BUILD",
            ]
            .iter()
            .any(|start| line.starts_with(start))
        })
        .map(str::to_owned)
        .collect();
    environ.sort();
    insta::assert_snapshot!(format!("{}\n{}", scene.read("argv"), environ.join("\n")));
}

#[tokio::test]
async fn kas_gets_the_same_without_a_container() {
    let mut scene = Scene::new("exit 0");
    scene.kas = true;
    scene.line.kas_args = Some(vec!["--force-checkout".to_owned()]);
    scene.line.env = Some([("A".to_owned(), "b c".to_owned())].into());
    let built = scene.build().await;
    assert_eq!(built.result, StepResult::succeeded());
    assert_eq!(
        scene.read("argv"),
        "build\n--force-checkout\nkas/base.yml:kas/opt/x.yml\n"
    );
    let environ = scene.read("environ");
    assert!(environ.contains("\nA=b c\n"));
    assert!(
        environ
            .contains("KAS_WORK_DIR=DIR/project/.isar-build-all/build/qemuamd64/server-1/work\n")
    );
    assert!(!scene.path("engine-calls").exists());
}

#[tokio::test]
async fn the_directories_are_there_and_a_stale_configuration_is_not() {
    let scene = Scene::new(
        r#"for dir in "$KAS_WORK_DIR" "$KAS_BUILD_DIR" "$DL_DIR" "$SSTATE_DIR" "$KAS_REPO_REF_DIR"; do
               test -d "$dir" || exit 3
           done
           test ! -e "$KAS_WORK_DIR/.config.yaml" || exit 4"#,
    );
    let work = scene.path("project/.isar-build-all/build/qemuamd64/server-1/work");
    std::fs::create_dir_all(&work).unwrap();
    std::fs::write(work.join(".config.yaml"), "_source_dir_host: /elsewhere\n").unwrap();
    assert_eq!(scene.build().await.result, StepResult::succeeded());
}

#[tokio::test]
async fn progress_output_and_log_are_told() {
    let scene = Scene::new(
        "say 'INFO     - NOTE: Running task 3 of 9 (mc:a:/work/isar/x/hello_1.0.bb:do_fetch)'; echo plain",
    );
    let built = scene.build().await;
    assert_eq!(built.result, StepResult::succeeded());
    assert!(built.events.contains(&EventKind::Progress {
        node: "build:qemuamd64/server-1".to_owned(),
        done: 3,
        total: 9,
        task: "hello:do_fetch".to_owned(),
        setscene: false,
    }));
    let lines = built
        .events
        .iter()
        .filter(|event| matches!(event, EventKind::Output { .. }))
        .count();
    assert_eq!(lines, 2);
    let log = scene.read("project/.isar-build-all/runs/run/qemuamd64/server-1.log");
    assert_eq!(log.lines().count(), 2);
    assert!(log.contains("Running task 3 of 9"));
}

#[tokio::test]
async fn every_failure_says_why_and_what_to_do() {
    let cases = [
        (
            "a failed task",
            "say 'ERROR    - ERROR: Logfile of failure stored in: /build/tmp/work/log.do_x.1'
             say 'INFO     - | fatal: no room'
             say \"ERROR    - ERROR: Task (mc:a:/work/hello_1.0.bb:do_x) failed with exit code '1'\"
             exit 2",
        ),
        (
            "a failed task and exit code 0",
            "say \"ERROR    - ERROR: Task (mc:a:/work/hello_1.0.bb:do_x) failed with exit code '1'\"; exit 0",
        ),
        (
            "a summary of failure and exit code 0",
            "say 'ERROR    - ERROR: Nothing PROVIDES foo'
             say 'INFO     - Summary: There was 1 ERROR message, returning a non-zero exit code.'; exit 0",
        ),
        (
            "the configuration",
            "say 'ERROR    - Configuration file not found: /repo/kas/x.yml'; exit 2",
        ),
        (
            "kas-container",
            "echo 'kas-container: Error: configuration file not found' >&2; exit 1",
        ),
        ("removed from outside", "exit 137"),
        (
            "stopped from outside",
            "say 'ERROR    - kas execution cancelled'; exit 143",
        ),
        ("a signal", "kill -KILL $$"),
        ("silence", "exit 1"),
    ];
    let mut all = Vec::new();
    for (name, behave) in cases {
        let scene = Scene::new(behave);
        let built = scene.build().await;
        assert_eq!(built.result.outcome, Outcome::Failed, "{name}");
        let told = told(&built.result).replace(scene.dir.path().to_str().unwrap(), "DIR");
        all.push(format!("## {name}\n{told}"));
    }
    insta::assert_snapshot!(all.join("\n\n"));
}

#[tokio::test]
async fn a_container_that_a_failed_build_left_is_removed() {
    let scene = Scene::new(": > \"$here/container.$name\"; exit 2");
    let built = scene.build().await;
    assert_eq!(built.result.outcome, Outcome::Failed);
    assert_eq!(scene.containers(), 0);
    assert!(scene.read("engine-calls").contains("rm -f -t 1 NAME\n"));
}

#[tokio::test]
async fn a_graceful_stop_goes_through_the_engine_and_leaves_nothing() {
    let scene = Scene::new(
        ": > \"$here/container.$name\"; : > \"$here/up\"; while [ ! -e \"$here/stopped\" ]; do sleep 0.1; done; exit 143",
    );
    let built = scene.build_and_stop("up", StopLevel::Graceful).await;
    assert_eq!(built.result, StepResult::cancelled());
    assert_eq!(scene.containers(), 0);
    assert!(scene.read("engine-calls").starts_with("stop -t 1 NAME\n"));
}

#[tokio::test]
async fn what_resists_is_killed_after_the_stop_timeout() {
    let scene = Scene::new(
        "trap '' TERM; : > \"$here/container.$name\"; echo $$ > \"$here/up\"; while :; do : > \"$here/container.$name\"; sleep 0.1; done",
    );
    let built = scene.build_and_stop("up", StopLevel::Graceful).await;
    assert_eq!(built.result, StepResult::cancelled());
    // The stop timeout is 3 s; the clock of the test starts a little after that of the step.
    assert!(built.took >= Duration::from_secs(2), "{:?}", built.took);
    assert!(built.took < Duration::from_secs(15), "{:?}", built.took);
    assert!(!lives(pid_in(&scene.path("up"))));
    assert_eq!(scene.containers(), 0);
}

#[tokio::test]
async fn a_kill_is_at_once_and_leaves_nothing() {
    let mut scene = Scene::new(
        "trap '' TERM; : > \"$here/container.$name\"; echo $$ > \"$here/up\"; while :; do sleep 0.1; done",
    );
    scene.line.stop_timeout = Some(600);
    let built = scene.build_and_stop("up", StopLevel::Kill).await;
    assert_eq!(built.result, StepResult::cancelled());
    assert!(built.took < Duration::from_secs(15), "{:?}", built.took);
    assert!(!lives(pid_in(&scene.path("up"))));
    assert_eq!(scene.containers(), 0);
}

#[tokio::test]
async fn a_stopped_run_starts_no_build() {
    let scene = Scene::new("exit 0");
    scene.stop.send_replace(StopLevel::Graceful);
    assert_eq!(scene.build().await.result, StepResult::cancelled());
    assert!(!scene.path("argv").exists());
}

/// kas gives BitBake a group of its own and BitBake's server a session, and clears their environment.
#[tokio::test]
async fn without_a_container_bitbakes_server_does_not_stay() {
    let mut scene = Scene::new(
        r#"env -i PATH="$PATH" setsid sh -c 'echo $$ > "$0/up"; sleep 100; true' "$here" "$(realpath "$KAS_BUILD_DIR")/bitbake.lock" </dev/null >/dev/null 2>&1 &
           trap 'exit 143' TERM
           while :; do sleep 0.1; done"#,
    );
    scene.kas = true;
    let built = scene.build_and_stop("up", StopLevel::Graceful).await;
    assert_eq!(built.result, StepResult::cancelled());
    assert!(!lives(pid_in(&scene.path("up"))));
}

#[tokio::test]
async fn words_that_kas_container_would_mangle_are_refused() {
    let mut all = Vec::new();
    let mut refuse = async |change: &dyn Fn(&mut CommandLine)| {
        let mut scene = Scene::new("exit 0");
        change(&mut scene.line);
        let built = scene.build().await;
        assert!(!scene.path("argv").exists());
        all.push(told(&built.result));
    };
    refuse(&|line| line.mounts = Some(vec!["/srv/a b:/b".to_owned()])).await;
    refuse(&|line| line.env = Some([("A".to_owned(), "b c".to_owned())].into())).await;
    refuse(&|line| line.env = Some([("A".to_owned(), "*.deb".to_owned())].into())).await;
    refuse(&|line| line.runtime_args = Some(vec!["--cpus [1]".to_owned()])).await;
    refuse(&|line| line.kas_args = Some(vec!["--target a b".to_owned()])).await;
    let dir = tempfile::tempdir().unwrap();
    let spaced = dir.path().join("a b");
    refuse(&|line| line.dl_dir = Some(spaced.clone())).await;
    let all = all
        .join("\n\n")
        .replace(dir.path().to_str().unwrap(), "DIR");
    insta::assert_snapshot!(all);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_said() {
    let scene = Scene::new("exit 0");
    std::fs::remove_file(scene.path("kas-container")).unwrap();
    let built = scene.build().await;
    let why = built.result.why.unwrap();
    assert!(why.ends_with("kas-container`: no such program"), "{why}");
    assert!(built.result.hint.is_some());
}

#[tokio::test]
async fn the_watcher_is_told_before_the_build_and_has_nothing_to_do_after_it() {
    for (behave, outcome) in [("exit 0", Outcome::Succeeded), ("exit 2", Outcome::Failed)] {
        let mut scene = Scene::new(behave);
        let log = scene.path("watcher.log");
        scene.watcher = Some(Watcher::start(&tool(), &log).unwrap());
        assert_eq!(scene.build().await.result.outcome, outcome);
        scene.watcher = None;
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(scene.read("watcher.log"), "");
    }
}

#[tokio::test]
async fn without_its_watcher_a_build_goes_on_with_a_warning() {
    let mut scene = Scene::new("exit 0");
    let log = scene.path("watcher.log");
    let watcher = Watcher::start(&tool(), &log).unwrap();
    let mut dead = watcher.dead();
    let children = format!("/proc/{0}/task", std::process::id());
    for task in std::fs::read_dir(children).unwrap().flatten() {
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for pid in list.split_whitespace() {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&command).contains(log.to_str().unwrap()) {
                let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
        }
    }
    dead.wait_for(|dead| *dead).await.unwrap();
    scene.watcher = Some(watcher);
    let built = scene.build().await;
    assert_eq!(built.result, StepResult::succeeded());
    assert!(built.events.iter().any(|event| matches!(
        event,
        EventKind::Warning { message, .. } if message.contains("watcher is gone")
    )));
}
