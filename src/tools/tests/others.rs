//! Probing kas-container, kas, Nix and the user.

use std::path::PathBuf;

use crate::host::identity::Host;
use crate::settings::{CommandLine, ExecutorChoice};
use crate::tools::tests::made::*;
use crate::tools::{Nix, NixAccess, Runner, Version};

#[test]
fn the_mode_flag_depends_on_the_version() {
    let bin = Bin::new(&[
        ("docker", DOCKER),
        ("kas-container", "echo kas-container 5.1"),
    ]);
    let Runner::Container { kas_container, .. } = bin.probe(nothing).unwrap().runner else {
        panic!("no kas-container")
    };
    assert_eq!(kas_container.mode_flag, "--isar");
    assert!(!kas_container.appends_runtime_args());
    insta::assert_snapshot!(bin.refusal(rootless));
}

#[test]
fn an_unusable_kas_container_is_refused_with_a_hint() {
    let mut said = String::new();
    let named = |path: &str| {
        let path = PathBuf::from(path);
        move |line: &mut CommandLine| line.kas_container = Some(path)
    };
    let bin = Bin::new(&[
        ("docker", DOCKER),
        ("old", "echo no; exit 1"),
        ("mute", "echo hello"),
    ]);
    said += &bin.refusal(nothing);
    said += "\n\n";
    said += &bin.refusal(named("tools/kas-container"));
    said += "\n\n";
    said += &bin.refusal(named("bin/old"));
    said += "\n\n";
    said += &bin.refusal(named("bin/mute"));
    insta::assert_snapshot!(said);
}

#[test]
fn inside_a_kas_image_neither_engine_nor_kas_container_is_needed() {
    let executor = |line: &mut CommandLine| line.executor = Some(ExecutorChoice::Kas);
    let bin = Bin::new(&[(
        "kas",
        "echo 'kas 5.5 (configuration format version 23, earliest compatible version 1)'",
    )]);
    let Runner::Kas(kas) = bin.probe(executor).unwrap().runner else {
        panic!("no kas")
    };
    assert_eq!(
        (kas.program, kas.version),
        (bin.path("bin/kas"), Version::new(5, 5))
    );
    insta::assert_snapshot!(Bin::new(&[]).refusal(executor));
}

#[test]
fn root_is_refused_before_any_probe() {
    let root = Host { uid: 0, ..host() };
    insta::assert_snapshot!(message(&Bin::new(&[]).probe_as(root, nothing).unwrap_err()));
}

#[test]
fn a_usable_nix_is_found() {
    let bin = Bin::new(&[("nix-store", NIX_STORE)]);
    for dir in ["store", "state/db"] {
        std::fs::create_dir_all(bin.path(dir)).unwrap();
    }
    let nix = Nix::find(&bin.environment()).unwrap();
    assert_eq!(nix.access, NixAccess::SingleUser);
    assert_eq!(nix.store_dir, bin.path("store"));
    assert_eq!(nix.version.to_string(), "2.8");
    // Nix treats an empty variable as unset.
    let bin = bin.with("NIX_REMOTE", "");
    let nix = Nix::find(&bin.environment()).unwrap();
    assert_eq!(nix.access, NixAccess::SingleUser);

    let bin = bin.with("NIX_REMOTE", "daemon");
    let nix = Nix::find(&bin.environment()).unwrap();
    assert_eq!(nix.access, NixAccess::Daemon);
}
