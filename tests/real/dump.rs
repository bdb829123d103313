//! The dump of the real kas in its container: it confirms a reading, and refuses a clone that was moved.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::project::{Project, output, wait_until};

const VARIANT: &[&str] = &[
    "--store",
    "local",
    "--variant",
    "qemuamd64/base",
    "--events",
    "events.jsonl",
];

fn build(project: &Project, more: &[&str]) -> Vec<String> {
    let run = project
        .command(&[VARIANT, more].concat())
        .env("ISAR_BUILD_ALL_MAX_AGE", "forever")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(0), "{stderr}");
    assert_eq!(project.containers(), Vec::<String>::new());
    let events = project.events("events.jsonl");
    let warnings = events.iter().filter(|event| event["kind"] == "warning");
    warnings
        .map(|event| event["message"].as_str().unwrap().to_owned())
        .collect()
}

fn is_skipped(project: &Project) -> bool {
    let events = project.events("events.jsonl");
    events.iter().any(|event| event["kind"] == "skip")
}

fn clone(project: &Project) -> PathBuf {
    let work = project
        .path()
        .join(".isar-build-all/build/qemuamd64/base/work");
    work.join("isar")
}

#[test]
fn kas_confirms_the_reading_of_its_files_and_finds_a_moved_clone() {
    let project = Project::new();

    let warnings = build(&project, &[]);

    assert!(
        !warnings.iter().any(|text| text.contains("builds it again")),
        "{warnings:?}"
    );
    build(&project, &[]);
    assert!(is_skipped(&project));

    // A dirty clone stays where it is.
    let clone = clone(&project);
    let pinned = output(
        Command::new("git")
            .arg("-C")
            .arg(&clone)
            .args(["rev-parse", "HEAD"]),
    );
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
    let commit = ["commit", "-q", "--allow-empty", "-m", "x"];
    output(
        Command::new("git")
            .arg("-C")
            .arg(&clone)
            .args(identity)
            .args(commit),
    );
    let head = output(
        Command::new("git")
            .arg("-C")
            .arg(&clone)
            .args(["rev-parse", "HEAD"]),
    );
    let layer_conf = clone.join("meta/conf/layer.conf");
    let text = std::fs::read_to_string(&layer_conf).unwrap();
    std::fs::write(layer_conf, text + "# edited\n").unwrap();

    let warnings = build(&project, &["--no-skip"]);

    let expected = format!(
        "the next run builds it again: the clone of repository isar is at commit {}, and the kas files pin {}",
        head.trim(),
        pinned.trim()
    );
    assert!(warnings.contains(&expected), "{warnings:?}");
}

#[test]
fn no_container_of_a_dump_outlives_a_stopped_run() {
    let project = Project::new();
    build(&project, &[]);
    // git calls it at the end of a checkout: the first is the build's, the second the dump's.
    let hook = clone(&project).join(".git/hooks/post-checkout");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let text = "#!/bin/sh\n[ -e /work/built ] || exec touch /work/built\ntouch /work/dumps\nexec sleep 600\n";
    std::fs::write(&hook, text).unwrap();
    std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    let mut run = project
        .command(&[VARIANT, &["--no-skip"]].concat())
        .env("ISAR_BUILD_ALL_STOP_TIMEOUT", "5")
        .spawn()
        .unwrap();
    let dumps = clone(&project).with_file_name("dumps");
    wait_until(Duration::from_secs(120), "the dump", || dumps.exists());
    let running = project.containers();
    assert!(
        running.len() == 1 && running[0].ends_with("-dump"),
        "{running:?}"
    );

    output(Command::new("kill").args(["-INT", &run.id().to_string()]));
    let status = run.wait().unwrap();

    assert_eq!(status.code(), Some(130));
    assert_eq!(project.containers(), Vec::<String>::new());
    let events = project.events("events.jsonl");
    let expected = "the next run builds it again: how kas reads the kas files is unknown: \
                    the run was stopped before `kas dump` had ended";
    assert!(
        events.iter().any(|event| event["message"] == expected),
        "{events:#?}"
    );
}
