//! A repository whose clone has another name than its key (`tests/cases/09-name-of-a-clone`).

use std::fs;
use std::process::Command;

use support::{output, root};

use crate::project::Project;

#[test]
fn files_of_a_clone_with_a_name_of_its_own_are_found_and_the_second_run_skips() {
    let case = root().join("tests/cases/09-name-of-a-clone");
    let project = Project::new();
    let extra = project.standin().join("extra.git");
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command
            .args([
                "-c",
                "user.name=case",
                "-c",
                "user.email=case@example.com",
                "-C",
            ])
            .arg(&extra)
            .args(words);
        output(&mut command)
    };
    output(
        Command::new("cp")
            .arg("-r")
            .arg(case.join("extra"))
            .arg(&extra),
    );
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "kas files"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let role = fs::read_to_string(case.join("role-base.yml")).unwrap();
    fs::write(
        project.path().join("kas/role/base.yml"),
        role.replace("COMMIT_OF_extra.git", commit.trim()),
    )
    .unwrap();
    let skips = |events: &str| {
        let output = project
            .command(&["--variant", "qemuamd64/base", "--events", events])
            .env_remove("ISAR_BUILD_ALL_MAX_AGE")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        let events = project.events(events);
        events
            .iter()
            .filter(|event| event["kind"] == "skip")
            .count()
    };

    support::counts::case(|| {
        assert_eq!(skips("first.jsonl"), 0);
        assert_eq!(skips("second.jsonl"), 1);
    });
}
