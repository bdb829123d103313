//! The main job: what is left behind, what follows a failure, and what two runs do to each other.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use support::eventually;
use support::project::{Project, outcome};

const ALL: [&str; 7] = [
    "isar-base-qemuamd64.wic",
    "isar-base-qemuamd64.wic.bmap",
    "isar-base-qemuarm64.wic",
    "isar-server-server-1-qemuamd64.wic",
    "isar-server-server-1-qemuamd64.wic.bmap",
    "isar-server-server-2-qemuamd64.wic",
    "isar-server-server-2-qemuamd64.wic.bmap",
];

#[test]
fn everything_is_built_captured_and_registered() {
    let project = Project::new();
    let said = project.run(&["--events", "events.jsonl"]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!(project.hashed(), ALL);
    for name in ALL {
        let machine = if name.contains("arm64") {
            "qemuarm64"
        } else {
            "qemuamd64"
        };
        let id = name
            .trim_start_matches("isar-")
            .split("-qemu")
            .next()
            .unwrap();
        let entry = project.path().join("artifacts").join(machine).join(name);
        assert!(
            entry.symlink_metadata().unwrap().is_symlink(),
            "{name} links into the store"
        );
        let content = fs::read_to_string(&entry).unwrap();
        assert!(
            content.ends_with(&format!(" of {machine}/{id}\n")),
            "{name} is its own variant's: {content}"
        );
    }
    assert!(
        said.stdout.contains("4 variants: 4 registered"),
        "{}",
        said.stdout
    );
    let staged = project.path().join("artifacts/qemuamd64/.captured");
    assert_eq!(
        fs::read_dir(staged).map_or(0, Iterator::count),
        0,
        "nothing is left in staging"
    );

    let events = project.events("events.jsonl");
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], number, "numbered without gaps");
        assert_eq!(event["v"], 1);
    }
    assert_eq!(events.first().unwrap()["kind"], "run_started");
    assert_eq!(events.last().unwrap()["kind"], "run_finished");
    let run = events[0]["run"].as_str().unwrap();
    let record = project.events(&format!(".isar-build-all/runs/{run}/events.jsonl"));
    assert_eq!(record, events, "the run's own record is the same");
    let log = project.read(&format!(".isar-build-all/runs/{run}/qemuamd64/base.log"));
    assert!(log.contains("Running task 2 of 2"));
}

#[test]
fn a_variant_registers_while_the_next_builds() {
    let project = Project::new();
    // The second build ends only when the first variant's hash is written.
    project.instead(
        "qemuarm64.base",
        "i=0; until grep -q isar-base-qemuamd64.wic \"$HOME/../artifact-hashes.nix\" 2>/dev/null; do i=$((i+1)); [ $i -lt 100 ] || exit 1; sleep 0.1; done; deploy",
    );
    let said = project.run(&["--variant", "base"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn after_a_failure_nothing_new_starts_and_k_goes_on() {
    let project = Project::new();
    project.instead("qemuarm64.base", "say 'ERROR: Task (mc:x:/work/isar-image-base.bb:do_image_wic) failed with exit code 1'; exit 2");
    let said = project.run(&["--events", "one.jsonl"]);
    assert_eq!(said.code, Some(10));
    let events = project.events("one.jsonl");
    assert_eq!(outcome(&events, "register:qemuamd64/base"), "succeeded");
    assert_eq!(outcome(&events, "build:qemuarm64/base"), "failed");
    assert_eq!(
        outcome(&events, "build:qemuamd64/server-server-1"),
        "not_run"
    );
    assert_eq!(project.hashed(), &ALL[..2]);
    assert!(
        said.stdout.contains("isar-build-all"),
        "the table says how to go on: {}",
        said.stdout
    );

    let said = project.run(&["-k", "--events", "two.jsonl"]);
    assert_eq!(said.code, Some(10));
    assert_eq!(
        outcome(
            &project.events("two.jsonl"),
            "register:qemuamd64/server-server-2"
        ),
        "succeeded"
    );
    assert!(
        !project
            .hashed()
            .contains(&"isar-base-qemuarm64.wic".to_owned())
    );
}

#[test]
fn fail_fast_stops_the_build_beside() {
    let project = Project::new();
    project.instead("qemuamd64.base", "sleep 1; exit 1");
    project.instead("qemuarm64.base", "sleep 300");
    let begin = Instant::now();
    let said = project.run(&[
        "--variant",
        "base",
        "-j",
        "2",
        "--fail-fast",
        "--events",
        "events.jsonl",
    ]);
    assert_eq!(said.code, Some(10));
    assert_eq!(
        outcome(&project.events("events.jsonl"), "build:qemuarm64/base"),
        "cancelled"
    );
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_incomplete_variant_is_not_registered_and_an_optional_artifact_is_said() {
    let project = Project::new();
    project.instead(
        "qemuamd64.base",
        "deploy; rm \"$place/image-qemuamd64.wic\"",
    );
    let said = project.run(&["--variant", "qemuamd64/base"]);
    assert_eq!(said.code, Some(10));
    assert!(
        said.stderr.contains("has no image-qemuamd64.wic"),
        "{}",
        said.stderr
    );
    assert!(project.hashed().is_empty());

    project.instead(
        "qemuamd64.base",
        "deploy; rm \"$place/image-qemuamd64.wic.bmap\"",
    );
    let said = project.run(&["--variant", "qemuamd64/base"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr.contains("image-qemuamd64.wic.bmap"),
        "{}",
        said.stderr
    );
    assert_eq!(project.hashed(), &ALL[..1]);
}

/// A run of the arm64 variant whose events have come to `word`.
fn started(project: &Project, word: &str) -> Child {
    let child = project
        .command(&["--machine", "qemuarm64", "--events", "events.jsonl"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let events = project.path().join("events.jsonl");
    assert!(eventually(Duration::from_secs(30), || {
        fs::read_to_string(&events)
            .unwrap_or_default()
            .contains(word)
    }));
    child
}

#[test]
fn a_second_run_is_told_who_runs() {
    let project = Project::new();
    project.instead("qemuarm64.base", "sleep 300");
    let mut first = started(&project, "node_started");
    let second = project.run(&["--machine", "qemuamd64"]);
    assert_eq!(second.code, Some(4));
    assert!(
        second.stderr.contains(&format!("process {}", first.id())),
        "{}",
        second.stderr
    );
    let pid = rustix::process::Pid::from_child(&first);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(130));
}

#[test]
fn a_build_that_ignores_the_first_signal_is_killed_by_the_second() {
    let project = Project::new();
    project.instead(
        "qemuarm64.base",
        "trap '' TERM INT; echo deaf; while :; do sleep 1; done",
    );
    let mut child = started(&project, "deaf");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(
        child.try_wait().unwrap().is_none(),
        "it waits for the build to end"
    );
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(
        outcome(&project.events("events.jsonl"), "build:qemuarm64/base"),
        "cancelled"
    );
}

#[test]
fn a_registration_that_fails_leaves_the_files_that_were_there() {
    let project = Project::new();
    let entries = "artifacts/qemuamd64/isar-base-qemuamd64.wic";
    project.write(entries, "the only copy");
    project.write(&format!("{entries}.bmap/in-the-way"), "");
    let said = project.run(&["--variant", "qemuamd64/base"]);
    assert_eq!(said.code, Some(10));
    assert!(said.stderr.contains("is a directory"), "{}", said.stderr);
    assert_eq!(project.read(entries), "the only copy");
    fs::remove_dir_all(project.path().join(format!("{entries}.bmap"))).unwrap();
    let said = project.run(&["--variant", "qemuamd64/base"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let mut left: Vec<String> = fs::read_dir(project.path().join("artifacts/qemuamd64"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ALL[..2], "no second name stays");
}

#[test]
fn a_hashes_file_that_cannot_be_edited_is_said_before_anything_is_built() {
    let project = Project::new();
    project.write("artifact-hashes.nix", "{\n  nested = { };\n}\n");
    let said = project.run(&[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    insta::assert_snapshot!(said.stderr, @r#"
    error: [project]/artifact-hashes.nix is unchanged: line 2: neither an entry, nor a comment, nor a brace: nested = { };
    hint: write entries as `"<name>" = "<52 characters>";`, one a line, and comments with #
    "#);
    assert!(!project.path().join(".isar-build-all").exists());
}

#[test]
fn an_optional_artifact_that_a_build_no_longer_makes_is_registered_no_longer() {
    let project = Project::new();
    let select = ["--no-skip", "--variant", "qemuamd64/base"];
    assert_eq!(project.run(&select).code, Some(0));
    assert_eq!(project.hashed(), &ALL[..2]);
    let map = project.path().join("artifacts/qemuamd64").join(ALL[1]);
    assert!(map.exists());

    project.instead(
        "qemuamd64.base",
        "deploy; echo newer > \"$place/image-qemuamd64.wic\"; rm \"$place/image-qemuamd64.wic.bmap\"",
    );
    let said = project.run(&select);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        project.hashed(),
        &ALL[..1],
        "a block map of another image is nobody's"
    );
    assert!(map.symlink_metadata().is_err());
    assert!(
        said.stderr.contains("no longer registered"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_state_directory_of_another_project_is_refused_before_a_build() {
    let (one, other) = (Project::new(), Project::new());
    let state = one.path().join("state");
    let run = |project: &Project| {
        let mut command = project.command(&["--variant", "qemuamd64/base"]);
        project.said(command.env("ISAR_BUILD_ALL_STATE_DIR", &state))
    };
    assert_eq!(run(&one).code, Some(0));

    let refused = run(&other);

    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    let owner = one.path().display().to_string();
    assert!(
        refused
            .stderr
            .contains(&format!("belongs to the project in {owner}")),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("set `state-dir`"),
        "{}",
        refused.stderr
    );
    assert!(!other.path().join("artifacts").exists());
    assert_eq!(run(&one).code, Some(0));
}
