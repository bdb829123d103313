//! What a build can do wrong, and that nothing wrong is registered then.

use std::fs;

use serde_json::Value;

use crate::project::Project;

const ONE: &str = "{ machine = \"qemuamd64\", profile = \"static\", node = \"server-1\" }";

fn outcome<'a>(events: &'a [Value], node: &str) -> &'a str {
    events
        .iter()
        .find(|event| event["kind"] == "node_finished" && event["node"] == node)
        .and_then(|event| event["outcome"].as_str())
        .unwrap_or_else(|| panic!("{node} did not end"))
}

#[test]
fn a_failing_variant_is_named_and_with_k_the_others_are_registered() {
    let project = Project::new();
    project.overlay("fail", ONE, "STANDIN_FAIL_TASK = \"do_rootfs_install\"");
    let selected = [
        "--machine",
        "qemuamd64",
        "--variant",
        "server-static-*",
        "--store",
        "local",
    ];

    let stopped = project.run(&[&selected[..], &["--events", "first.jsonl"]].concat());
    assert_eq!(stopped.status.code(), Some(10));
    let events = project.events("first.jsonl");
    assert_eq!(
        outcome(&events, "build:qemuamd64/server-static-server-1"),
        "failed"
    );
    assert_eq!(
        outcome(&events, "build:qemuamd64/server-static-server-2"),
        "not_run"
    );
    let stderr = String::from_utf8_lossy(&stopped.stderr);
    assert!(
        stderr.contains("do_rootfs_install"),
        "the failed task is named"
    );
    assert!(
        stderr.contains("server-static-server-1.log"),
        "the log is named"
    );
    assert!(project.hashes().is_empty());

    let going = project.run(&[&selected[..], &["-k", "--events", "second.jsonl"]].concat());
    assert_eq!(going.status.code(), Some(10));
    let events = project.events("second.jsonl");
    assert_eq!(
        outcome(&events, "register:qemuamd64/server-static-server-1"),
        "not_run"
    );
    assert_eq!(
        outcome(&events, "register:qemuamd64/server-static-server-2"),
        "succeeded"
    );
    let hashes = project.hashes();
    assert!(
        !hashes.is_empty() && hashes.iter().all(|(name, _)| name.contains("server-2")),
        "{hashes:?}"
    );
}

#[test]
fn a_required_output_that_is_missing_fails_the_variant() {
    let project = Project::new();
    project.overlay("lose", ONE, "STANDIN_SKIP_DEPLOY = \".wic\"");
    let run = project.run(&[
        "--variant",
        "qemuamd64/server-static-server-1",
        "--store",
        "local",
    ]);
    assert_eq!(run.status.code(), Some(10));
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(
        stderr.contains("isar-image-base-debian-bookworm-qemuamd64.wic"),
        "{stderr}"
    );
    assert!(
        project.hashes().is_empty(),
        "nothing of an incomplete variant is written"
    );
}

#[test]
fn python_in_the_container_writes_line_by_line() {
    let project = Project::new();
    project.overlay(
        "slow",
        ONE,
        "STANDIN_UNFLUSHED = \"1\"\nSTANDIN_SLOW_TASK = \"do_image_wic:6\"",
    );
    let variant = "qemuamd64/server-static-server-1";
    let run = project.run(&[
        "--variant",
        variant,
        "--store",
        "local",
        "--events",
        "events.jsonl",
    ]);
    assert_eq!(run.status.code(), Some(0));
    // BitBake writes the first line, without flushing it, 6 s before the second; buffered, both come at once.
    let events = project.events("events.jsonl");
    let time = |text: &str| -> jiff::Timestamp {
        let event = events
            .iter()
            .find(|event| {
                event["line"]
                    .as_str()
                    .is_some_and(|line| line.contains(text))
            })
            .unwrap_or_else(|| panic!("no line with {text}"));
        event["time"].as_str().unwrap().parse().unwrap()
    };
    let between = time("do_image_wic: Succeeded").duration_since(time("do_image_wic: Started"));
    assert!(between.as_secs() >= 5, "the lines come {between:?} apart");
    let run = events[0]["run"].as_str().unwrap();
    let log = project
        .path()
        .join(format!(".isar-build-all/runs/{run}/{variant}.log"));
    let log = fs::read_to_string(log).unwrap();
    for event in events.iter().filter(|event| event["kind"] == "output") {
        let line = event["line"].as_str().unwrap();
        assert!(log.contains(line), "the log on disk has every line: {line}");
    }
}
