//! Probing kas-container, kas, Nix and the user.

use std::path::PathBuf;

use crate::host::identity::Host;
use crate::settings::{CommandLine, ExecutorChoice, StoreChoice};
use crate::tools::tests::made::*;
use crate::tools::{FoundStore, NixAccess, Runner, Version};

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
fn a_usable_nix_is_chosen() {
    let bin = Bin::new(&[("nix-store", NIX_STORE)]);
    for dir in ["store", "state/db"] {
        std::fs::create_dir_all(bin.path(dir)).unwrap();
    }
    let FoundStore::Nix(nix) =
        FoundStore::probe(&bin.settings(nothing), &bin.environment()).unwrap()
    else {
        panic!("no Nix")
    };
    assert_eq!(nix.access, NixAccess::SingleUser);
    assert_eq!(nix.store_dir, bin.path("store"));
    assert_eq!(nix.version.to_string(), "2.8");
    let local = bin.settings(|line| line.store = Some(StoreChoice::Local));
    assert_eq!(
        FoundStore::probe(&local, &bin.environment()),
        Ok(FoundStore::Local { instead_of: None })
    );

    // Nix treats an empty variable as unset.
    let bin = bin.with("NIX_REMOTE", "");
    let FoundStore::Nix(nix) =
        FoundStore::probe(&bin.settings(nothing), &bin.environment()).unwrap()
    else {
        panic!("no Nix")
    };
    assert_eq!(nix.access, NixAccess::SingleUser);

    let bin = bin.with("NIX_REMOTE", "daemon");
    let FoundStore::Nix(nix) =
        FoundStore::probe(&bin.settings(nothing), &bin.environment()).unwrap()
    else {
        panic!("no Nix")
    };
    assert_eq!(nix.access, NixAccess::Daemon);
}

#[test]
fn the_local_store_replaces_an_unusable_nix_unless_nix_is_configured() {
    let unconnected = r#"case "$1" in
--version) echo "nix-store (Nix) 2.8.0" ;;
*) echo "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': No such file or directory" >&2; exit 1 ;;
esac"#;
    let mut said = String::new();
    for (name, programs) in [
        ("absent", &[][..]),
        ("read-only and no daemon", &[("nix-store", NIX_STORE)]),
        ("daemon stopped", &[("nix-store", unconnected)]),
        ("no version", &[("nix-store", "echo hello")]),
    ] {
        let bin = Bin::new(programs);
        let automatic = FoundStore::probe(&bin.settings(nothing), &bin.environment()).unwrap();
        let FoundStore::Local {
            instead_of: Some(why),
        } = automatic
        else {
            panic!("{automatic:?}")
        };
        let forced = bin.settings(|line| line.store = Some(StoreChoice::Nix));
        let error = FoundStore::probe(&forced, &bin.environment()).unwrap_err();
        said += &bin.neutral(&format!("# {name}\n{why}\n{}\n\n", message(&error)));
    }
    insta::assert_snapshot!(said);
}
