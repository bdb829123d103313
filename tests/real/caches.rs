//! A download cache that two architectures shared, and what one of them would have taken from it.

use std::fs;

use crate::project::{Project, output};
use support::counts::refused;

#[test]
fn a_wrong_architectures_binary_in_a_shared_cache_is_refused() {
    let project = Project::new();
    // The recipe downloads another file for each architecture, under one name.
    project.overlay(
        "shared",
        "{ role = \"base\" }",
        "STANDIN_SHARED_DOWNLOAD = \"k3s\"",
    );
    let (downloads, sstate) = (
        project.path().join("downloads"),
        project.path().join("sstate"),
    );
    let run = |args: &[&str]| {
        project
            .command(args)
            .env("DL_DIR", &downloads)
            .env("SSTATE_DIR", &sstate)
            .output()
            .unwrap()
    };
    let base = ["--variant", "base", "--store", "local", "--machine"];
    let built = run(&[&base[..], &["qemuarm64"]].concat());
    assert_eq!(
        built.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let registered = project.hashes();
    let k3s = downloads.join("arm64/k3s");
    assert!(k3s.exists(), "the recipe was built");

    // What one directory for both would hold now.
    let amd64 = downloads.join("amd64");
    fs::create_dir_all(&amd64).unwrap();
    for name in ["k3s", "k3s.done"] {
        fs::copy(downloads.join("arm64").join(name), amd64.join(name)).unwrap();
    }
    let second = run(&[&base[..], &["qemuamd64"]].concat());
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(4), "{stderr}");
    assert!(
        stderr.contains("k3s is a program for arm64 (ELF)"),
        "{stderr}"
    );
    assert_eq!(project.hashes(), registered, "nothing of it is registered");
    refused("foreign_elf");

    let audit = run(&["cache", "audit"]);
    assert_eq!(audit.status.code(), Some(10));
    let said = String::from_utf8_lossy(&audit.stdout);
    assert!(said.contains("amd64/k3s: in the cache of amd64"), "{said}");
    // The same directory under the other architecture's name.
    fs::remove_dir_all(&amd64).unwrap();
    output(
        std::process::Command::new("ln")
            .args(["-s", "arm64"])
            .arg(&amd64),
    );
    let second = run(&[&base[..], &["qemuamd64"]].concat());
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(4));
    assert!(stderr.contains("is for arm64, not for amd64"), "{stderr}");
}
