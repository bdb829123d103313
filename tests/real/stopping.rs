//! Both signals and SIGKILL: no container outlives the tool.

use std::process::{Child, Command};
use std::time::Duration;

use crate::project::{Project, output, wait_until};

const VARIANT: &str = "qemuamd64/server-static-server-1";

/// A run whose build hangs in its image task, once it has got there.
fn hanging(project: &Project) -> Child {
    project.overlay(
        "hang",
        "{ role = \"server\" }",
        "STANDIN_HANG_TASK = \"do_image_wic\"",
    );
    let child = project.start(&[
        "--variant",
        VARIANT,
        "--store",
        "local",
        "--events",
        "events.jsonl",
    ]);
    project.wait_for("events.jsonl", "the image task", |event| {
        event["kind"] == "output"
            && event["line"]
                .as_str()
                .is_some_and(|line| line.contains("do_image_wic: Started"))
    });
    assert_eq!(project.containers().len(), 1, "the build's container runs");
    child
}

fn signal(child: &Child, name: &str) {
    output(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]));
}

#[test]
fn sigterm_ends_with_143_and_no_container() {
    let project = Project::new();
    let mut child = hanging(&project);
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(
        project.containers(),
        Vec::<String>::new(),
        "gone when the tool is"
    );
    assert!(project.hashes().is_empty());
}

#[test]
fn sigint_ends_with_130_and_no_container() {
    let project = Project::new();
    let mut child = hanging(&project);
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(
        project.containers(),
        Vec::<String>::new(),
        "gone when the tool is"
    );
}

#[test]
fn after_sigkill_the_watcher_stops_the_container_within_ten_seconds() {
    let project = Project::new();
    let mut child = hanging(&project);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until(Duration::from_secs(10), "no container", || {
        project.containers().is_empty()
    });
    let pattern = project.path().display().to_string();
    wait_until(Duration::from_secs(10), "no process of the build", || {
        // pgrep finds the watcher and kas-container by the checkout in their command lines.
        !Command::new("pgrep")
            .args(["-f", &pattern])
            .output()
            .unwrap()
            .status
            .success()
    });
}
