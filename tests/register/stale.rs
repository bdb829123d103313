//! Nothing stale, foreign, shapeless or unfinished is registered, and the next run finds its way out.

use std::fs;

use serde_json::Value;

use support::project::{Project, outcome};

const ONE: &str = "qemuamd64/server-server-1";
const FAKE: &str = "qemuamd64.server-server-1";
const DEPLOYED: &str =
    ".isar-build-all/build/qemuamd64/server-server-1/build/tmp/deploy/images/qemuamd64";

/// Builds the one variant, which may be unchanged, and returns its exit code and events.
fn run(project: &Project) -> (Option<i32>, Vec<Value>) {
    let said = project.run(&["--no-skip", "--variant", ONE, "--events", "events.jsonl"]);
    (said.code, project.events("events.jsonl"))
}

/// Verdict and reason of a gate.
fn gate(events: &[Value], name: &str) -> (String, String) {
    let event = events
        .iter()
        .find(|event| event["kind"] == "gate" && event["name"] == name)
        .unwrap_or_else(|| panic!("the gate {name} did not speak"));
    let text = |field: &str| event[field].as_str().unwrap().to_owned();
    (text("verdict"), text("why"))
}

fn warned(events: &[Value], text: &str) -> bool {
    events.iter().any(|event| {
        event["kind"] == "warning" && event["message"].as_str().unwrap().contains(text)
    })
}

fn assert_refused(project: &Project, name: &str, why: &str) {
    let before = project.hashed();
    let (code, events) = run(project);
    assert_eq!(code, Some(10));
    assert_eq!(outcome(&events, &format!("capture:{ONE}")), "refused");
    assert_eq!(outcome(&events, &format!("register:{ONE}")), "not_run");
    let (verdict, reason) = gate(&events, name);
    assert_eq!(verdict, "refused");
    assert!(reason.contains(why), "{why} in {reason}");
    assert_eq!(project.hashed(), before);
    let staging = project.path().join("artifacts/qemuamd64/.captured");
    assert!(!staging.exists(), "nothing is left in staging");
}

#[test]
fn output_that_somebody_overwrote_is_refused_and_the_next_run_builds_it_anew() {
    let project = Project::new();
    assert_eq!(run(&project).0, Some(0));
    let good = project.read("artifact-hashes.nix");
    // The other's image comes to lie there, with the time of ours; the build sees nothing to do.
    let wic = project.path().join(DEPLOYED).join("image-qemuamd64.wic");
    let time = fs::metadata(&wic).unwrap().modified().unwrap();
    fs::write(&wic, "image-qemuamd64.wic of qemuamd64/server-server-2\n").unwrap();
    let file = fs::OpenOptions::new().write(true).open(&wic).unwrap();
    file.set_modified(time).unwrap();
    drop(file);
    project.instead(FAKE, ":");
    assert_refused(&project, "freshness", "image-qemuamd64.wic is stale");

    fs::remove_file(project.path().join("fake").join(format!("{FAKE}.sh"))).unwrap();
    let (code, events) = run(&project);
    assert_eq!(code, Some(0));
    assert!(warned(
        &events,
        "what the last build in it left was refused"
    ));
    assert_eq!(project.read("fake/cleaned"), format!("{ONE}\n"));
    assert_eq!(project.read("artifact-hashes.nix"), good);
}

#[test]
fn what_a_build_leaves_untouched_is_known_to_be_its_own() {
    let project = Project::new();
    assert_eq!(run(&project).0, Some(0));
    project.instead(FAKE, ":");
    let (code, events) = run(&project);
    assert_eq!(code, Some(0), "nothing was to do");
    let (verdict, why) = gate(&events, "freshness");
    assert_eq!(verdict, "passed");
    assert!(why.starts_with("0 written by this build"), "{why}");
    // A part is rewritten in place, with the same size.
    project.instead(
        FAKE,
        "echo 'image-qemuamd64.wic OF qemuamd64/server-server-1' > \
         \"$KAS_BUILD_DIR/tmp/deploy/images/qemuamd64/image-qemuamd64.wic\"",
    );
    let (code, events) = run(&project);
    assert_eq!(code, Some(0));
    let (_, why) = gate(&events, "freshness");
    assert!(why.starts_with("1 written by this build"), "{why}");
    assert!(why.ends_with(": image-qemuamd64.wic.bmap"), "{why}");
    assert!(!project.path().join("fake/cleaned").exists());
}

#[test]
fn a_build_whose_capture_failed_is_not_made_again() {
    let project = Project::new();
    project.write("artifacts", "in the way");
    assert_eq!(run(&project).0, Some(10));
    fs::remove_file(project.path().join("artifacts")).unwrap();
    project.instead(FAKE, ":");
    assert_eq!(run(&project).0, Some(0), "the ledger knows whose it is");
    assert_eq!(project.hashed().len(), 2);
}

#[test]
fn bytes_that_were_registered_are_proof_when_the_build_directory_was_moved() {
    let project = Project::new();
    assert_eq!(run(&project).0, Some(0));
    // As after a restore from a backup: other inodes, other change times, the same bytes.
    let place = project.path().join(DEPLOYED);
    for name in ["image-qemuamd64.wic", "image-qemuamd64.wic.bmap"] {
        fs::copy(place.join(name), place.join("copy")).unwrap();
        fs::rename(place.join("copy"), place.join(name)).unwrap();
    }
    project.instead(FAKE, ":");
    assert_eq!(run(&project).0, Some(0));
}

#[test]
fn after_a_failed_build_its_directory_is_cleaned() {
    let project = Project::new();
    assert_eq!(run(&project).0, Some(0));
    project.instead(FAKE, "echo half > \"$KAS_BUILD_DIR/tmp/stub\"; exit 1");
    assert_eq!(run(&project).0, Some(10));
    // The stub is gone, and with it the image of before the failure.
    project.instead(FAKE, "[ ! -e \"$KAS_BUILD_DIR/tmp\" ] && deploy");
    let (code, events) = run(&project);
    assert_eq!(code, Some(0));
    assert!(warned(&events, "the last build in it failed"));
    assert_eq!(project.read("fake/cleaned"), format!("{ONE}\n"));
    // After a good build nothing is cleaned.
    project.instead(FAKE, ":");
    assert_eq!(run(&project).0, Some(0));
    assert_eq!(project.read("fake/cleaned"), format!("{ONE}\n"));
}

#[test]
fn nothing_is_built_where_cleaning_did_not_help() {
    let project = Project::new();
    project.instead(FAKE, "deploy; exit 1");
    assert_eq!(run(&project).0, Some(10));
    project.instead(FAKE, ":");
    for (script, ended, why) in [
        ("exit 0", "refused", "and cleaning left"),
        (
            "exit 1",
            "failed",
            "was not cleaned (the last build in it failed)",
        ),
    ] {
        project.instead(&format!("{FAKE}.clean"), script);
        let (code, events) = run(&project);
        assert_eq!(code, Some(10));
        let build = format!("build:{ONE}");
        assert_eq!(outcome(&events, &build), ended);
        let event = events
            .iter()
            .find(|event| event["kind"] == "node_finished" && event["node"] == build)
            .unwrap();
        assert!(event["why"].as_str().unwrap().contains(why), "{event}");
        assert!(project.hashed().is_empty());
    }
}

#[test]
fn what_is_no_file_is_refused() {
    for (make, why) in [
        ("ln -s /etc/passwd \"$wic\"", "is a symbolic link"),
        ("mkdir \"$wic\"", "is a directory"),
        ("mkfifo \"$wic\"", "is a named pipe"),
        (": > \"$wic\"", "is empty"),
    ] {
        let project = Project::new();
        let script = format!("deploy; wic=$place/image-qemuamd64.wic; rm \"$wic\"; {make}");
        project.instead(FAKE, &script);
        assert_refused(&project, "shape", why);
    }
}

#[test]
fn a_file_that_is_not_readable_yet_is_waited_for() {
    let project = Project::new();
    project.instead(
        FAKE,
        "deploy; wic=$place/image-qemuamd64.wic; chmod 0 \"$wic\"; \
         (sleep 1; chmod 644 \"$wic\") > /dev/null 2>&1 &",
    );
    assert_eq!(run(&project).0, Some(0));
    project.instead(FAKE, "deploy; chmod 0 \"$place/image-qemuamd64.wic\"");
    assert_refused(&project, "freshness", "also 10 s after the build");
}

#[test]
fn a_root_directory_that_was_restored_over_an_old_one_is_built_again() {
    let project = Project::new();
    // The first build of a directory may restore what it likes.
    let restoring = "say 'NOTE: Running setscene task 1 of 1 \
         (mc:x:/work/isar-image-base.bb:do_rootfs_install_setscene)'; \
         [ ! -e \"$KAS_BUILD_DIR/tmp\" ] || mixed=1; deploy; \
         [ -z \"${mixed:-}\" ] || echo mixed > \"$place/image-qemuamd64.wic\"";
    project.instead(FAKE, restoring);
    assert_eq!(run(&project).0, Some(0));
    assert!(!project.path().join("fake/cleaned").exists());
    let good = project.read("artifact-hashes.nix");

    let (code, events) = run(&project);
    assert_eq!(code, Some(0));
    assert!(warned(
        &events,
        "a root directory was restored over that of an earlier build"
    ));
    assert_eq!(project.read("fake/cleaned"), format!("{ONE}\n"));
    assert_eq!(project.read("artifact-hashes.nix"), good);
    let id = events[0]["run"].as_str().unwrap();
    let logs = fs::read_dir(
        project
            .path()
            .join(format!(".isar-build-all/runs/{id}/qemuamd64")),
    );
    let mut names: Vec<String> = logs
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "server-server-1.clean.log",
            "server-server-1.first.log",
            "server-server-1.log"
        ]
    );
}
