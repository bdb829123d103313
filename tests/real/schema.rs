//! The schema of the kas in the container's image.

use std::process::Command;

use support::{root, tool};

#[test]
fn check_reads_the_schema_from_the_image_once() {
    let dir = tempfile::tempdir().unwrap();
    let source = root().join("tests/cases/13-check-passes-what-kas-refuses");
    for name in ["variants.toml", "unknown-key.yml"] {
        std::fs::copy(source.join(name), dir.path().join(name)).unwrap();
    }
    let made = Command::new("git")
        .args(["init", "--quiet"])
        .current_dir(dir.path())
        .status();
    assert!(made.unwrap().success());
    let state = dir.path().join(".isar-build-all");
    std::fs::create_dir(&state).unwrap();
    let check = || {
        let output = Command::new(tool())
            .arg("check")
            .current_dir(dir.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        stderr
    };

    let first = check();

    let message = "kas 5.5 does not know the key `local_conf_headers` at the top of a file";
    assert!(first.contains(message), "{first}");
    let kept: Vec<_> = std::fs::read_dir(state.join("kas-schemas"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let text = std::fs::read_to_string(&kept[0]).unwrap();
    std::fs::write(&kept[0], text.replace("\"5.5\"", "\"5.5-kept\"")).unwrap();
    let second = check();
    assert!(second.contains("kas 5.5-kept does not know"), "{second}");
}
