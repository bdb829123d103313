//! Kas files that merge otherwise than they look: `explain` says what kas makes of them.
//!
//! The inputs are in `tests/cases/`. Each once hid a floating repository, a layer or an archive without a snapshot, so
//! that a changed variant was skipped.

use std::path::Path;
use std::process::Command;

use support::{root, tool};

/// The lines of `explain -v x` for a copy of a case whose chain is `chain`.
fn explained(case: &str, chain: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(root().join("tests/cases").join(case).join("."))
        .arg(dir.path())
        .status();
    assert!(copied.unwrap().success());
    set_chain(dir.path(), chain);
    let made = Command::new("git")
        .args(["init", "--quiet"])
        .current_dir(dir.path())
        .status();
    assert!(made.unwrap().success());

    let output = Command::new(tool())
        .args(["explain", "-v", "x"])
        .current_dir(dir.path())
        .output()
        .unwrap();

    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

fn set_chain(dir: &Path, chain: &[&str]) {
    let path = dir.join("variants.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|line| match line.starts_with("chain = ") {
        true => format!("chain = {chain:?}"),
        false => line.to_owned(),
    });
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
}

fn assert_says(lines: &[String], expected: &[&str]) {
    for line in expected {
        assert!(
            lines.iter().any(|said| said == line),
            "no `{line}` in {lines:#?}"
        );
    }
}

const NO_SNAPSHOT: &str = "ages        the Debian archive is used without a snapshot";

#[test]
fn a_file_included_again_counts_again() {
    support::counts::case(|| {
        let lines = explained(
            "01-include-reached-twice",
            &["kas/base.yml", "kas/lean.yml", "kas/machine.yml"],
        );

        assert_says(
            &lines,
            &[
                "repository isar: https://example.org/isar refspec master",
                "ages        repository isar follows https://example.org/isar refspec master",
                NO_SNAPSHOT,
            ],
        );
        assert!(
            lines.iter().any(|line| line.starts_with("layer meta-a: ")),
            "{lines:#?}"
        );
    });
}

#[test]
fn the_last_of_equal_keys_counts() {
    support::counts::case(|| {
        let lines = explained("03-duplicate-key", &["base.yml"]);

        assert_says(
            &lines,
            &["repository isar: https://example.org/isar branch next"],
        );
        assert!(
            lines.iter().any(|line| line.starts_with("layer meta-a: ")),
            "{lines:#?}"
        );
    });
}

#[test]
fn an_override_of_null_takes_the_pin_away() {
    support::counts::case(|| {
        let lines = explained("04-null-removes", &["base.yml", "unpin.yml"]);

        assert_says(
            &lines,
            &["ages        repository isar follows https://example.org/isar branch next"],
        );
    });
}

#[test]
fn null_makes_a_repository_the_projects_own() {
    support::counts::case(|| {
        let lines = explained("04-null-removes", &["base.yml", "own.yml"]);

        assert!(
            !lines.iter().any(|line| line.contains("example.org")),
            "{lines:#?}"
        );
    });
}
