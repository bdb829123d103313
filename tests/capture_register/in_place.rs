//! Files that the Nix store takes from where they lie.

use std::fs::{self, File};
use std::sync::Arc;

use isar_build_all::model::event::{EventKind, How, Verdict};
use isar_build_all::model::outcome::Outcome;
use isar_build_all::settings::StoreWrite;
use isar_build_all::steps::StepResult;
use isar_build_all::store::Store;

use crate::common;
use crate::support::PrivateNix;
use crate::world::{World, gate};

/// A world whose Nix adds files in place by a program that does something first.
fn in_place(before: &str) -> World {
    let mut world = World::new(Some((PrivateNix::new(), StoreWrite::Auto)));
    let program = common::script(
        world.dir.path(),
        "nix-instantiate",
        &format!("#!/bin/sh\n{before}\nexec nix-instantiate \"$@\"\n"),
    );
    let Store::Nix(mut nix) = (*world.registry.store).clone() else {
        panic!("it is a Nix store")
    };
    nix.instantiate = Some(program);
    world.registry.store = Arc::new(Store::Nix(nix));
    world
}

#[test]
fn what_was_registered_in_this_state_is_not_read_again() {
    let count = "echo >> \"$(dirname \"$0\")/count\"";
    let world = in_place(count);
    let started = || fs::read_to_string(world.path("count")).map_or(0, |text| text.lines().count());
    world.deploy("image-debian-qemuamd64.wic", b"an image");
    world.deploy("image-debian-qemuamd64-vmlinuz", b"a kernel");
    assert_eq!(world.both("base").result, StepResult::succeeded());
    assert_eq!(started(), 2);
    let again = world.both("base");
    assert_eq!(again.result, StepResult::succeeded());
    assert_eq!(started(), 2);
    let is_there = |event: &EventKind| {
        matches!(
            event,
            EventKind::Artifact {
                how: How::AlreadyValid,
                store_path: Some(_),
                ..
            }
        )
    };
    assert_eq!(
        again.events.iter().filter(|event| is_there(event)).count(),
        2
    );
    world.assert_registered("base", ".wic", b"an image");
    // The same size, and a time of modification that was set back.
    let wic = world.path("build/tmp/deploy/images/qemuamd64/image-debian-qemuamd64.wic");
    let modified = wic.metadata().unwrap().modified().unwrap();
    fs::write(&wic, b"an imagE").unwrap();
    File::open(&wic).unwrap().set_modified(modified).unwrap();
    assert_eq!(world.both("base").result, StepResult::succeeded());
    assert_eq!(started(), 3);
    world.assert_registered("base", ".wic", b"an imagE");
    // What the store has lost is added again.
    let nix = world.nix.as_ref().unwrap();
    fs::remove_dir_all(world.path("artifacts")).unwrap();
    nix.output("nix-store", ["--gc"]);
    assert_eq!(world.both("base").result, StepResult::succeeded());
    assert_eq!(started(), 5);
    world.assert_registered("base", ".wic", b"an imagE");
    world.assert_registered("base", "-vmlinuz", b"a kernel");
}

#[test]
fn a_file_that_changes_while_it_is_added_is_refused() {
    // It is hashed by now; and Nix reads what is there then.
    let change = "sleep 0.5\necho more >> \"$(dirname \"$0\")/build/tmp/deploy/images/qemuamd64/image-debian-qemuamd64.wic\"";
    let world = in_place(change);
    world.deploy("image-debian-qemuamd64.wic", b"an image");
    world.deploy("image-debian-qemuamd64-vmlinuz", b"a kernel");
    let refused = world.both("base");
    assert_eq!(refused.result.outcome, Outcome::Refused);
    assert_eq!(gate(&refused), Some(("freshness", Verdict::Refused)));
    assert_eq!(world.hashes(), "");
    assert!(world.left("artifacts/qemuamd64").is_empty());
}

#[test]
fn what_a_gate_refuses_is_never_given_to_the_store() {
    let count = "echo >> \"$(dirname \"$0\")/count\"";
    let world = in_place(count);
    // It begins as something that gzip made, and ends.
    world.deploy(
        "image-debian-qemuamd64.wic",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b",
    );
    world.deploy("image-debian-qemuamd64-vmlinuz", b"a kernel");
    let refused = world.both("base");
    assert_eq!(
        refused.result.outcome,
        Outcome::Refused,
        "{:?}",
        refused.result
    );
    assert!(!world.path("count").exists());
}
