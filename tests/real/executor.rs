//! The executor `kas`: the tool itself runs inside a kas-isar image, as a GitLab job does.

use std::process::Command;

use crate::image;
use crate::project::{Project, environment, output};
use support::tool;

/// The user of a kas-isar image.
const BUILDER: &str = "30000:30000";

#[test]
fn inside_a_kas_isar_image_kas_is_run_without_a_container() {
    let project = Project::new();
    let parent = project.path().parent().unwrap().to_owned();
    // Git and kas write there as the image's user.
    output(
        Command::new("sudo")
            .args(["-n", "chown", "-R", BUILDER])
            .arg(&parent),
    );
    let mount = |host: &std::path::Path, place: &str| format!("{}:{place}", host.display());
    let said = output(
        Command::new("sudo")
            .args([
                "-n",
                "podman",
                "run",
                "--rm",
                "--privileged",
                "--network",
                "host",
            ])
            .args([
                "-v",
                &mount(&project.path(), "/src"),
                "-v",
                &mount(project.standin(), "/standin"),
            ])
            .args([
                "-v",
                &mount(&tool(), "/usr/local/bin/isar-build-all:ro"),
                "-w",
                "/src",
            ])
            .args([
                "-e",
                "KAS_PREMIRRORS=https://github.com/ilbers/isar file:///standin/isar.git",
            ])
            .args([
                "-e",
                "DL_DIR=/src/downloads",
                "-e",
                "SSTATE_DIR=/src/sstate",
                "-e",
                "GITLAB_CI=true",
            ])
            .arg(environment("KAS_CONTAINER_IMAGE"))
            .args(["isar-build-all", "--executor", "kas", "--store", "local"])
            .args([
                "--overlay",
                "tests/standin/standin.yml",
                "--variant",
                "qemuamd64/base",
            ]),
    );
    assert!(said.contains("section_start:"), "a job's log folds: {said}");
    let store = project.path().join(".isar-build-all/store");
    let found = output(
        Command::new("sudo")
            .args(["-n", "find"])
            .arg(store)
            .args(["-name", "*-isar-base-qemuamd64.wic"]),
    );
    let image = std::path::Path::new(found.trim());
    assert_eq!(image::read(image, "/etc/image-variant").trim(), "base");
    assert_eq!(project.hashes().len(), 4);
}
