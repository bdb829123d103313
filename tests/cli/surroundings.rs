//! What the main job makes of where it runs: the store that is there, colours, a watcher that dies, an
//! output that nobody reads.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use support::project::{Project, outcome};

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_there() {
        assert!(begin.elapsed() < Duration::from_secs(30), "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_local_store_that_nobody_asked_for_is_said_once() {
    let project = Project::new();
    project.write("bin/nix-store", "#!/bin/sh\nexit 1\n");
    let program = project.path().join("bin/nix-store");
    let mut command = Command::new("chmod");
    assert!(command.arg("755").arg(&program).status().unwrap().success());
    let said = |scope: &[&str], store: &str| {
        let mut command = project.command(&[&["--variant", "qemuamd64/base"], scope].concat());
        let path = command
            .get_envs()
            .find_map(|(name, value)| (name == "PATH").then(|| value.unwrap().to_owned()))
            .unwrap();
        let bin = project.path().join("bin");
        command.env(
            "PATH",
            format!("{}:{}", bin.display(), path.to_str().unwrap()),
        );
        project.said(command.env("ISAR_BUILD_ALL_STORE", store))
    };
    let warnings = |text: &str| text.matches("artifacts go to the local store").count();
    for scope in [&[][..], &["--hash-only"]] {
        let auto = said(scope, "auto");
        assert_eq!(auto.code, Some(0), "{}", auto.stderr);
        assert_eq!(warnings(&auto.stderr), 1, "{}", auto.stderr);
        assert!(auto.stderr.contains("store = \"local\""), "{}", auto.stderr);
    }
    assert_eq!(warnings(&said(&[], "local").stderr), 0);
}

#[test]
fn the_colour_setting_is_kept_by_the_run_itself() {
    let project = Project::new();
    let colored = |setting: &str, alias: (&str, &str)| {
        let said = project.said(
            project
                .command(&["--no-skip", "--variant", "qemuamd64/base"])
                .env("ISAR_BUILD_ALL_COLOR", setting)
                .env(alias.0, alias.1),
        );
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stderr.contains('\u{1b}')
    };
    assert!(!colored("never", ("CLICOLOR_FORCE", "1")));
    assert!(colored("always", ("NO_COLOR", "1")));
}

#[test]
fn an_argument_that_is_not_utf8_is_no_fault_of_ours() {
    let project = Project::new();
    let name = std::ffi::OsStr::from_bytes(b"\xff");
    fs::create_dir(project.path().join(name)).unwrap();
    let said = project.said(
        project
            .command(&["--machine", "qemuarm64", "--rename-existing", "--build-dir"])
            .arg(name),
    );
    assert_eq!(said.code, Some(10), "{}", said.stderr);
    assert!(
        said.stderr.contains("no deploy directory"),
        "{}",
        said.stderr
    );
}

/// The process with these words in its command line.
fn process_of(words: &[&str]) -> Option<Pid> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        words
            .iter()
            .all(|word| line.contains(word))
            .then(|| Pid::from_raw(pid))?
    })
}

#[test]
fn a_watcher_that_dies_is_said() {
    let project = Project::new();
    project.instead(
        "qemuarm64.base",
        "until [ -e \"$FAKE_DIR/go\" ]; do sleep 0.1; done; deploy",
    );
    let child = project
        .command(&["--machine", "qemuarm64", "--events", "events.jsonl"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let path = project.path().join("events.jsonl");
    let events = || fs::read_to_string(&path).unwrap_or_default();
    wait_for("build", || events().contains("node_started"));
    let state = project.path().join(".isar-build-all");
    let watcher = process_of(&["internal-watcher", state.to_str().unwrap()]).unwrap();
    kill_process(watcher, Signal::KILL).unwrap();
    wait_for("warning", || events().contains("the watcher died"));
    project.write("fake/go", "");
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(events().matches("the watcher died").count(), 1);

    // One that ends with the run is nothing to tell.
    assert_eq!(
        project
            .run(&["--machine", "qemuarm64", "--events", "events.jsonl"])
            .code,
        Some(0)
    );
    assert!(!events().contains("watcher"));
}

#[test]
fn a_signal_ends_the_wait_for_a_reader_that_does_not_read() {
    let project = Project::new();
    project.instead(
        "qemuarm64.base",
        "i=0; while [ $i -lt 4000 ]; do echo \"line $i, longer than a pipe holds of it\"; i=$((i+1)); done; deploy",
    );
    let mut child = project
        .command(&["--machine", "qemuarm64", "--events", "events.jsonl"])
        .env("GITHUB_ACTIONS", "true")
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let path = project.path().join("events.jsonl");
    let events = || fs::read_to_string(&path).unwrap_or_default();
    wait_for("end of the run", || events().contains("run_finished"));
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    let pid = Pid::from_child(&child);
    wait_for("end of the process", || {
        kill_process(pid, Signal::INT).unwrap();
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(0), "the run's own");
}

#[test]
fn a_state_directory_that_cannot_be_made_is_an_environment_fault_with_a_hint() {
    let project = Project::new();
    let said = project.said(
        project
            .command(&[])
            .env("ISAR_BUILD_ALL_STATE_DIR", "/proc/version/state"),
    );
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    let said = project.said(
        project
            .command(&[])
            .env("ISAR_BUILD_ALL_STATE_DIR", "/root/state"),
    );
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr.contains("hint: check the permissions: "),
        "{}",
        said.stderr
    );
}

#[test]
fn the_second_signal_ends_a_registration_that_hangs() {
    let project = Project::new();
    project.write(
        "bin/nix-store",
        "#!/bin/sh\ncase \"$*\" in\n--version*) echo 'nix-store (Nix) 2.8.0' ;;\n*--check-validity*) echo \"$3\" ;;\n*--add-fixed*) echo $$ > \"$FAKE_DIR/adding\"; sleep 300 ;;\nesac\n",
    );
    let bin = project.path().join("bin");
    let mut chmod = Command::new("chmod");
    assert!(
        chmod
            .args(["-R", "755"])
            .arg(&bin)
            .status()
            .unwrap()
            .success()
    );
    let fakes = support::root().join("tests/support/fakes");
    let path = format!("{}:{}:/usr/bin:/bin", bin.display(), fakes.display());
    let mut child = project
        .command(&["--machine", "qemuarm64", "--events", "events.jsonl"])
        .env("PATH", path)
        .env("ISAR_BUILD_ALL_STORE", "nix")
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let adding = project.path().join("fake/adding");
    wait_for("registration", || {
        fs::read_to_string(&adding).is_ok_and(|pid| !pid.is_empty())
    });
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "one lets it finish");
    kill_process(pid, Signal::INT).unwrap();
    let begin = Instant::now();
    wait_for("end of the process", || child.try_wait().unwrap().is_some());
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let nix = fs::read_to_string(adding).unwrap();
    assert!(
        !Path::new("/proc").join(nix.trim()).exists(),
        "it does not outlive us"
    );
    assert_eq!(
        outcome(&project.events("events.jsonl"), "register:qemuarm64/base"),
        "cancelled"
    );
}
