//! A variant of which no declared file is there has failed, also where every file is optional.

use support::project::Project;

const OPTIONAL: &str = r#"schema = 1
[axes]
role = ["base"]
[naming]
id = "{role}"
unique_name = "isar-{id}-{machine}{extension}"
deploy_name = "isar-image-base-{machine}{extension}"
[artifacts]
wic = { extension = ".wic", optional = true, format = "any" }
kernel = { extension = "-vmlinuz", optional = true, format = "any" }
[machines.qemuamd64]
arch = "amd64"
artifacts = ["wic", "kernel"]
[kas]
chain = ["kas/base.yml"]
[[variants]]
machine = "qemuamd64"
role = "base"
"#;

/// A project whose build deploys these files.
fn project(deployed: &str) -> Project {
    let project = Project::new();
    project.write("variants.toml", OPTIONAL);
    project.write("fake/deploy/qemuamd64", deployed);
    project
}

#[test]
fn a_build_without_any_declared_file_fails_and_names_what_is_there() {
    let project = project("isar-image-bose-qemuamd64.wic\n");
    support::counts::case(|| assert_fails_with_a_hint(&project));
    // It is built again, not skipped.
    assert_eq!(project.run(&[]).code, Some(10));
}

fn assert_fails_with_a_hint(project: &Project) {
    let said = project.run(&[]);

    assert_eq!(said.code, Some(10), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("has none of the declared files: isar-image-base-qemuamd64.wic"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr
            .contains("there are isar-image-bose-qemuamd64.wic"),
        "{}",
        said.stderr
    );
}

#[test]
fn one_of_several_optional_files_is_enough() {
    let project = project("isar-image-base-qemuamd64-vmlinuz\n");

    let said = project.run(&[]);

    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        project
            .read("artifact-hashes.nix")
            .contains("isar-base-qemuamd64-vmlinuz")
    );
}

#[test]
fn hash_only_without_any_file_fails() {
    let project = project("");

    let said = project.run(&["--hash-only"]);

    assert_eq!(said.code, Some(10), "{}", said.stderr);
    assert!(
        said.stderr.contains("has none of the variant's files"),
        "{}",
        said.stderr
    );
}
