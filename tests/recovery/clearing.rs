//! What is cleared away on the way: logs of old runs, locks that killed git processes left; and what is
//! refused before anything is started.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use isar_build_all::fs::lock::{Holder, LockFile};

use support::project::Project;
use support::{eventually, names_in};

const ARM: [&str; 2] = ["--machine", "qemuarm64"];

fn runs(project: &Project) -> Vec<String> {
    names_in(&project.path().join(".isar-build-all/runs"))
}

#[test]
fn as_many_runs_are_kept_as_the_setting_says_and_never_an_unfinished_one() {
    let project = Project::new();
    let old = |day: u32| format!("202601{day:02}T000000Z-1");
    for day in 1..=6 {
        project.write(
            &format!(".isar-build-all/runs/{}/events.jsonl", old(day)),
            "",
        );
    }
    project.write(".isar-build-all/runs/notes/mine", "");
    // The first could not be cleared after; the journal has it still.
    project.write(
        ".isar-build-all/journal.jsonl",
        &format!(
            "{{\"entry\":\"build_started\",\"run\":\"{}\",\"variant\":\"qemuarm64/base\",\
             \"name\":\"x\",\"undo\":{{\"stop\":[\"false\"],\"exists\":[\"true\"]}}}}\n",
            old(1)
        ),
    );
    let said = project.said(project.command(&ARM).env("ISAR_BUILD_ALL_KEEP_RUNS", "1"));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let kept = runs(&project);
    assert_eq!(kept[..2], [old(1), old(6)]);
    assert_eq!(kept.len(), 4, "its own and the user's: {kept:?}");
    assert!(kept.contains(&"notes".to_owned()));
}

#[test]
fn a_path_with_a_blank_is_refused_before_anything_is_started() {
    let project = Project::new();
    let path = project.path().join("two words");
    let said = project.said(
        project
            .command(&ARM)
            .env("ISAR_BUILD_ALL_BUILD_ROOT", &path),
    );
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("[project]/two words/qemuarm64/base/work` has a space"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr
            .contains("hint: choose a path without white space")
    );
    assert!(!project.path().join(".isar-build-all").exists());
}

#[test]
fn locks_of_killed_git_processes_are_removed_before_a_build_and_said() {
    let project = Project::new();
    let lock = ".isar-build-all/build/qemuarm64/base/work/isar/.git/config.lock";
    project.write(lock, "");
    let said = project.run(&ARM);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr
            .contains(&format!("removed [project]/{lock}: a killed git process")),
        "{}",
        said.stderr
    );
    assert!(!project.path().join(lock).exists());
}

#[test]
fn waiting_for_the_hashes_files_lock_ends_with_the_second_signal() {
    let project = Project::new();
    let holder = Holder {
        pid: std::process::id(),
        host: "elsewhere".to_owned(),
        command: "another".to_owned(),
        since: jiff::Timestamp::UNIX_EPOCH,
    };
    let path = project.path().join(".artifact-hashes.nix.lock");
    let lock = LockFile::acquire(&path, &holder, Duration::ZERO).unwrap();
    let mut tool = project
        .command(&[&ARM[..], &["--events", "events.jsonl"]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = "\"node_started\",\"node\":\"register:qemuarm64/base\"";
    assert!(eventually(Duration::from_secs(60), || {
        fs::read_to_string(project.path().join("events.jsonl"))
            .is_ok_and(|events| events.contains(started))
    }));
    let pid = rustix::process::Pid::from_child(&tool);
    let interrupt = || rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    interrupt();
    std::thread::sleep(Duration::from_millis(500));
    assert!(tool.try_wait().unwrap().is_none(), "a registration may end");
    let begin = Instant::now();
    interrupt();
    assert_eq!(tool.wait().unwrap().code(), Some(130));
    assert!(begin.elapsed() < Duration::from_secs(30));
    drop(lock);
    assert!(project.hashed().is_empty());
    assert_eq!(project.run(&ARM).code, Some(0));
}
