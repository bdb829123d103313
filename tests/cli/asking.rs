//! Everything that asks and runs nothing, and every way to ask wrongly.

use serde_json::Value;

use crate::project::Project;

#[test]
fn list_is_aligned_and_complete() {
    let project = Project::new();
    let said = project.run(&["--list"]);
    assert_eq!(said.code, Some(0));
    insta::assert_snapshot!(said.stdout, @"");
    let json: Value =
        serde_json::from_str(&project.run(&["--list", "--format", "json"]).stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 4);
    assert_eq!(json[0]["machine"], "qemuamd64");
}

#[test]
fn dry_run_shows_every_step_and_leaves_nothing() {
    let project = Project::new();
    let said = project.run(&["--dry-run", "--variant", "qemuamd64/base"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    insta::assert_snapshot!(said.stdout, @"");
    assert!(!project.path().join(".isar-build-all").exists());
    let json: Value =
        serde_json::from_str(&project.run(&["--dry-run", "--format", "json"]).stdout).unwrap();
    assert_eq!(json["variants"].as_array().unwrap().len(), 4);
}

#[test]
fn the_plan_is_that_of_the_contract() {
    let project = Project::new();
    let said = project.run(&["plan", "--format", "json", "--variant", "qemuamd64/base"]);
    insta::assert_snapshot!(said.stdout, @"");
    assert!(!said.stdout.contains("null"));
}

#[test]
fn a_selection_of_nothing_says_what_there_is() {
    let project = Project::new();
    let said = project.run(&["--variant", "sever-server-1"]);
    assert_eq!(said.code, Some(3));
    insta::assert_snapshot!(said.stderr, @"");
}

#[test]
fn faults_are_all_said_with_exit_3() {
    let project = Project::new();
    let matrix = project
        .read("variants.toml")
        .replace("extension = \".wic\"", "extention = \".wic\"")
        .replace("kas/base.yml", "kas/bse.yml");
    project.write("variants.toml", &matrix);
    let said = project.run(&[]);
    assert_eq!(said.code, Some(3));
    insta::assert_snapshot!(said.stderr, @"");
}

#[test]
fn what_helps_with_a_broken_file_works_with_one() {
    let project = Project::new();
    project.write("variants.toml", "schema = [");
    for args in [
        &["--help"][..],
        &["schema"],
        &["completions", "bash"],
        &["man"],
        &["config"],
        &["doctor"],
    ] {
        let said = project.run(args);
        assert!(!said.stdout.is_empty(), "{args:?}");
        assert_ne!(said.code, Some(3), "{args:?}: {}", said.stderr);
    }
    assert_eq!(project.run(&["--list"]).code, Some(3));
}

#[test]
fn usage_faults_exit_with_2() {
    let project = Project::new();
    for args in [
        &["--no-such"][..],
        &["--adopt"],
        &["--list", "--hash-only"],
        &["-j", "0"],
        &["-k", "--fail-fast"],
    ] {
        assert_eq!(project.run(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn without_an_engine_the_exit_code_is_4_and_there_is_a_hint() {
    let project = Project::new();
    let said = project.said(project.command(&[]).env("PATH", "/nonexistent"));
    assert_eq!(said.code, Some(4));
    assert!(said.stderr.contains("hint: "), "{}", said.stderr);
}

#[test]
fn without_a_matrix_the_message_says_where_it_was_looked_for() {
    let project = Project::new();
    std::fs::remove_file(project.path().join("variants.toml")).unwrap();
    let said = project.run(&["--list"]);
    assert_eq!(said.code, Some(3));
    insta::assert_snapshot!(said.stderr, @"");
}

#[test]
fn github_gets_groups_and_a_summary_and_gitlab_sections() {
    let project = Project::new();
    project.instead("qemuarm64.base", "echo '::error::injected'; deploy");
    let summary = project.path().join("summary.md");
    let said = project.said(
        project
            .command(&["--variant", "base"])
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_STEP_SUMMARY", &summary),
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        said.stdout.matches("::group::").count(),
        2,
        "{}",
        said.stdout
    );
    assert!(
        !said
            .stdout
            .lines()
            .any(|line| line.starts_with("::error::injected")),
        "{}",
        said.stdout
    );
    assert!(
        project
            .read("summary.md")
            .contains("isar-base-qemuarm64.wic")
    );

    let said = project.said(
        project
            .command(&["--variant", "base"])
            .env("GITLAB_CI", "true"),
    );
    assert!(said.stdout.contains("section_start:"), "{}", said.stdout);
}

#[test]
fn events_on_standard_output_are_nothing_but_events() {
    let project = Project::new();
    let said = project.run(&["--machine", "qemuarm64", "--events", "-"]);
    assert_eq!(said.code, Some(0));
    assert!(said.stdout.lines().count() > 5);
    for line in said.stdout.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}
