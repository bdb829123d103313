//! `check` refuses what kas refuses, with file and line, before a build.

use std::path::Path;
use std::process::Command;

use support::{root, tool};

/// A copy of case 13 as a repository whose chain is one file.
fn case(file: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let source = root().join("tests/cases/13-check-passes-what-kas-refuses");
    for entry in std::fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let matrix = dir.path().join("variants.toml");
    let text = std::fs::read_to_string(&matrix).unwrap();
    std::fs::write(&matrix, text.replace("unknown-key.yml", file)).unwrap();
    let made = Command::new("git")
        .args(["init", "--quiet"])
        .current_dir(dir.path())
        .status();
    assert!(made.unwrap().success());
    dir
}

/// The exit code and stderr of `check`, with the installed kas as the one that builds.
fn check(dir: &Path) -> (Option<i32>, String) {
    let output = Command::new(tool())
        .arg("check")
        .current_dir(dir)
        .env("ISAR_BUILD_ALL_EXECUTOR", "kas")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), stderr)
}

/// Whether kas itself accepts the file.
fn kas_accepts(dir: &Path, file: &str) -> bool {
    Command::new("kas")
        .args(["dump", file])
        .current_dir(dir)
        .env("KAS_WORK_DIR", dir)
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn check_names_file_and_line_of_what_kas_refuses() {
    for (file, place, message) in [
        (
            "env-number.yml",
            "env-number.yml:4:3",
            "`env.A` is a number",
        ),
        (
            "escape-in-comment.yml",
            "escape-in-comment.yml:3",
            "character",
        ),
        (
            "mixed-refspec.yml",
            "mixed-refspec.yml:4:3",
            "mixes the old `refspec`",
        ),
        ("no-ref.yml", "no-ref.yml:4:3", "no commit, tag or branch"),
        (
            "patch-without-repo.yml",
            "patch-without-repo.yml:4:3",
            "patch `p`",
        ),
        (
            "repo-typo.yml",
            "repo-typo.yml:6:5",
            "did you mean `branch`?",
        ),
        (
            "signed-without-signers.yml",
            "signed-without-signers.yml:4:3",
            "`allowed_signers` is empty",
        ),
        (
            "source-dir-included.yml",
            "source-dir.yml:3:14",
            "for the first file of a chain",
        ),
        ("tab-after-key.yml", "tab-after-key.yml:3", "tab"),
        (
            "unknown-header-key.yml",
            "unknown-header-key.yml:3:3",
            "did you mean `includes`?",
        ),
        (
            "unknown-key.yml",
            "unknown-key.yml:3:1",
            "did you mean `local_conf_header`?",
        ),
        ("version-99.yml", "version-99.yml:2:3", "version 99"),
        (
            "version-text.yml",
            "version-text.yml:2:3",
            "expects a number",
        ),
    ] {
        let dir = case(file);
        support::counts::case(|| {
            assert!(!kas_accepts(dir.path(), file), "kas accepts {file}");

            let (code, stderr) = check(dir.path());

            assert_eq!(code, Some(3), "{file}: {stderr}");
            assert!(stderr.contains(place), "{file}: no {place} in {stderr}");
            assert!(stderr.contains(message), "{file}: no {message} in {stderr}");
        });
    }
}

#[test]
fn check_accepts_a_source_dir_that_kas_accepts() {
    let dir = case("source-dir.yml");
    let text = format!(
        "header:\n  version: 14\n_source_dir: {}\n",
        dir.path().display()
    );
    std::fs::write(dir.path().join("source-dir.yml"), text).unwrap();
    assert!(kas_accepts(dir.path(), "source-dir.yml"));

    let (code, stderr) = check(dir.path());

    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn the_value_of_a_variable_is_in_no_message() {
    let dir = case("env-number.yml");
    let text = "header:\n  version: 14\nenv:\n  TOKEN: 8675309\n";
    std::fs::write(dir.path().join("env-number.yml"), text).unwrap();

    let (code, stderr) = check(dir.path());

    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("TOKEN: *******"), "{stderr}");
    assert!(!stderr.contains("8675309"), "{stderr}");
}
