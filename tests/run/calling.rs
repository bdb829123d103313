//! How kas-container is called.

use support::project::Project;

#[test]
fn kas_container_gets_the_chain_the_directories_and_one_string_of_runtime_arguments() {
    let project = Project::new();
    let said = project.said(
        project
            .command(&[
                "--variant",
                "qemuamd64/server-server-2",
                "--overlay",
                "kas/extra.yml",
            ])
            .env("ISAR_BUILD_ALL_MOUNTS", "/tmp:/mirror:ro")
            .env("KAS_PREMIRRORS", "a b")
            .env("DL_DIR", project.path().join("dl")),
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let argv = project.read("fake/qemuamd64.server-server-2.argv");
    let argv: Vec<&str> = argv.lines().collect();
    assert_eq!(
        argv.iter()
            .filter(|word| **word == "--runtime-args")
            .count(),
        1
    );
    assert!(argv.contains(&"--isar-privileged"));
    assert!(argv.contains(&"build"));
    assert_eq!(
        argv.last(),
        Some(&"kas/base.yml:kas/qemuamd64.yml:kas/server-2.yml:kas/extra.yml")
    );
    let runtime = argv[argv
        .iter()
        .position(|word| *word == "--runtime-args")
        .unwrap()
        + 1];
    for part in [
        "--name isar-build-all-",
        "--label isar-build-all.variant=qemuamd64/server-server-2",
        "-v /tmp:/mirror:ro",
        "-e PYTHONUNBUFFERED=1",
    ] {
        assert!(runtime.contains(part), "{part} in {runtime}");
    }
    let environment = project.read("fake/qemuamd64.server-server-2.env");
    let state = project.path().join(".isar-build-all");
    for (name, value) in [
        (
            "KAS_WORK_DIR",
            state.join("build/qemuamd64/server-server-2/work"),
        ),
        (
            "KAS_BUILD_DIR",
            state.join("build/qemuamd64/server-server-2/build"),
        ),
        ("KAS_REPO_REF_DIR", state.join("repos")),
        ("DL_DIR", project.path().join("dl/amd64")),
        ("KAS_CONTAINER_ENGINE", "podman".into()),
        ("PYTHONUNBUFFERED", "1".into()),
        ("KAS_PREMIRRORS", "a b".into()),
    ] {
        let line = format!("{name}={}", value.display());
        assert!(
            environment.lines().any(|have| have == line),
            "{line} in\n{environment}"
        );
    }
}

#[test]
fn each_architecture_has_its_own_downloads() {
    let project = Project::new();
    assert_eq!(project.run(&["--variant", "base"]).code, Some(0));
    let of = |variant: &str| {
        let environment = project.read(&format!("fake/{variant}.env"));
        environment
            .lines()
            .find(|line| line.starts_with("DL_DIR="))
            .unwrap()
            .to_owned()
    };
    assert!(of("qemuamd64.base").ends_with("/amd64"));
    assert!(of("qemuarm64.base").ends_with("/arm64"));
}

#[test]
fn variables_that_would_make_all_variants_one_are_not_passed_on() {
    let project = Project::new();
    let said = project.said(
        project
            .command(&["--machine", "qemuarm64"])
            .env("KAS_MACHINE", "other")
            .env("KAS_TARGET", "mc:other:image"),
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let environment = project.read("fake/qemuarm64.base.env");
    for name in ["KAS_MACHINE", "KAS_TARGET"] {
        assert!(!environment.contains(&format!("{name}=")), "{environment}");
        let warning = format!("{name} is set and is not passed on");
        assert!(said.stderr.contains(&warning), "{}", said.stderr);
    }
    assert!(!said.stderr.contains("KAS_TASK"), "{}", said.stderr);
}
