//! `--rename-existing` and `--hash-only`: what was built before, or by others.

use std::fs;

use support::project::Project;

#[test]
fn rename_existing_takes_what_the_records_know_and_asks_for_adopt_else() {
    let project = Project::new();
    assert_eq!(project.run(&["--variant", "qemuamd64/base"]).code, Some(0));
    fs::remove_dir_all(project.path().join("artifacts")).unwrap();
    fs::remove_file(project.path().join("artifact-hashes.nix")).unwrap();
    let said = project.run(&["--variant", "qemuamd64/base", "--rename-existing"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = project.run(&[
        "--variant",
        "qemuamd64/base",
        "--rename-existing",
        "--build-dir",
        "./.isar-build-all/build/qemuamd64/base/build/",
    ]);
    assert_eq!(
        said.code,
        Some(0),
        "as a shell completes it: {}",
        said.stderr
    );
    assert_eq!(
        project.hashed(),
        ["isar-base-qemuamd64.wic", "isar-base-qemuamd64.wic.bmap"]
    );

    // What the script built lies in a directory that no record names.
    let deploy = "old/build/tmp/deploy/images/qemuamd64";
    project.write(
        &format!("{deploy}/image-qemuamd64.wic"),
        "the script's image",
    );
    let select = [
        "--variant",
        "qemuamd64/server-server-1",
        "--rename-existing",
        "--build-dir",
        "old/build",
    ];
    let said = project.run(&select);
    assert_eq!(said.code, Some(10));
    assert!(said.stderr.contains("--adopt"), "{}", said.stderr);
    let said = project.run(&[&select[..], &["--adopt"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let entry = project.read("artifacts/qemuamd64/isar-server-server-1-qemuamd64.wic");
    assert_eq!(entry, "the script's image");
}

#[test]
fn one_build_directory_is_not_adopted_by_several_variants() {
    let project = Project::new();
    project.write(
        "old/build/tmp/deploy/images/qemuamd64/image-qemuamd64.wic",
        "whose?",
    );
    let args = ["--rename-existing", "--adopt", "--build-dir", "old/build"];
    let said = project.run(&args);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    insta::assert_snapshot!(said.stderr, @"
    error: qemuamd64/base and qemuamd64/server-server-1 would both capture image-qemuamd64.wic from old/build, but it belongs to one of them
    hint: select the one that it belongs to: --variant qemuamd64/base
    ");
    assert!(project.hashed().is_empty());
}

#[test]
fn rename_existing_refuses_what_a_failed_build_left() {
    let project = Project::new();
    assert_eq!(project.run(&["--variant", "qemuamd64/base"]).code, Some(0));
    project.instead("qemuamd64.base", "exit 1");
    let build = ["--no-skip", "--variant", "qemuamd64/base"];
    assert_eq!(project.run(&build).code, Some(10));
    let said = project.run(&["--variant", "qemuamd64/base", "--rename-existing"]);
    assert_eq!(
        said.code,
        Some(10),
        "the image of the build before lies there still"
    );
}

#[test]
fn hash_only_registers_what_lies_in_the_output_directory() {
    let project = Project::new();
    project.write("artifacts/qemuarm64/isar-base-qemuarm64.wic", "by hand");
    let said = project.run(&["--machine", "qemuarm64", "--hash-only"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(project.hashed(), ["isar-base-qemuarm64.wic"]);
    let entry = project
        .path()
        .join("artifacts/qemuarm64/isar-base-qemuarm64.wic");
    assert!(entry.symlink_metadata().unwrap().is_symlink());
    assert_eq!(fs::read_to_string(entry).unwrap(), "by hand");
    let said = project.run(&["--machine", "qemuarm64", "--hash-only"]);
    assert_eq!(
        said.code,
        Some(0),
        "again, now it is a link: {}",
        said.stderr
    );

    let said = project.run(&["--machine", "qemuamd64", "--hash-only"]);
    assert_eq!(said.code, Some(10));
    assert!(
        said.stderr.contains("isar-base-qemuamd64.wic"),
        "{}",
        said.stderr
    );
}
