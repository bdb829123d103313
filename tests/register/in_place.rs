//! Files that the Nix store takes from where they lie.

use std::fs::{self, File};
use std::sync::Arc;

use isar_build_all::event::outcome::Outcome;
use isar_build_all::event::{ArtifactOrigin, EventKind, GateVerdict};
use isar_build_all::settings::StoreWrite;
use isar_build_all::steps::capture::slots::CaptureSlots;
use isar_build_all::steps::capture::{CaptureDeployed, CapturePolicy, Provenance};
use isar_build_all::steps::context::StepContext;
use isar_build_all::steps::register::Register;
use isar_build_all::steps::register::batch::Batch;
use isar_build_all::steps::result::StepResult;
use isar_build_all::steps::step::Step as _;
use isar_build_all::steps::variant_state::VariantState;
use isar_build_all::store::{NixStore, Store};

use crate::world::{Ended, World, gate, nix_store, variant};
use support::PrivateNix;

/// A world whose Nix adds files in place by a program that does something first.
fn in_place(before: &str) -> World {
    changed_nix(before, |_, _| ())
}

/// [`in_place`] with a change to the store.
fn changed_nix(before: &str, change: impl FnOnce(&World, &mut NixStore)) -> World {
    let mut world = World::new(Some((PrivateNix::new(), StoreWrite::Auto)));
    let program = support::script(
        world.dir.path(),
        "nix-instantiate",
        &format!("#!/bin/sh\n{before}\nexec nix-instantiate \"$@\"\n"),
    );
    let mut nix = nix_store(world.nix.as_ref().unwrap(), StoreWrite::Auto);
    nix.instantiate = Some(program);
    change(&world, &mut nix);
    world.registry.store = Arc::new(Store::from(nix));
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
                how: ArtifactOrigin::AlreadyValid,
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
    assert_eq!(gate(&refused), Some(("freshness", GateVerdict::Refused)));
    assert_eq!(world.hashes(), "");
    assert!(world.left("artifacts/qemuamd64").is_empty());
}

/// Counts how many of it run at the same time, in a file with a line for each.
const COUNTS: &str = "here=$(dirname \"$0\"); mkdir -p \"$here/running/$$\"; ls \"$here/running\" | wc -l >> \"$here/counts\"; sleep 0.3; rmdir \"$here/running/$$\"";

/// Four captures at the same time, of two files each, where so many places are: the most additions at once.
fn most_at_once(places: usize) -> usize {
    let world = in_place(COUNTS);
    world.deploy("image-debian-qemuamd64.wic", b"an image");
    world.deploy("image-debian-qemuamd64-vmlinuz", b"a kernel");
    let slots = CaptureSlots::of(places);
    std::thread::scope(|scope| {
        for id in ["one", "two", "three", "four"] {
            let (world, slots) = (&world, slots.clone());
            scope.spawn(move || {
                let policy = CapturePolicy {
                    slots,
                    ..world.policy(&Provenance::Adopted)
                };
                let captured = world.capture_by(id, &mut VariantState::default(), policy);
                assert_eq!(captured.result, StepResult::succeeded());
            });
        }
    });
    let counts = fs::read_to_string(world.path("counts")).unwrap();
    let counts: Vec<usize> = counts
        .lines()
        .map(|line| line.trim().parse().unwrap())
        .collect();
    assert_eq!(counts.len(), 8);
    counts.into_iter().max().unwrap()
}

#[test]
fn all_captures_of_a_run_together_add_no_more_files_at_once_than_it_has_places_for() {
    assert_eq!(most_at_once(2), 2);
    assert!(most_at_once(16) > 4, "and without that limit they would");
}

/// One waits for the other, and the collector cannot be kept away as long: it is the daemon's.
fn collected_between(meanwhile: impl Fn(&World)) -> (World, Ended) {
    let mut world = changed_nix("", |world, nix| {
        nix.state_dir = world.path("no/such/place");
    });
    world.registry.batch = Some(Arc::new(Batch::of(2)));
    world.deploy("image-debian-qemuamd64.wic", b"an image");
    world.deploy("image-debian-qemuamd64-vmlinuz", b"a kernel");
    let policy = world.policy(&Provenance::Adopted);
    let last = world.step("base", policy, |base| async {
        let other = StepContext {
            variant: Arc::new(variant("other")),
            ..base.clone()
        };
        for ctx in [base, other] {
            let mut state = VariantState::default();
            let captured = CaptureDeployed.run(&ctx, &mut state).await;
            assert_eq!(captured, StepResult::succeeded());
            let registered = Register.run(&ctx, &mut state).await;
            if ctx.variant.key.id == "other" {
                return registered;
            }
            assert_eq!(registered, StepResult::succeeded());
            assert_eq!(world.hashes(), "");
            let nix = world.nix.as_ref().unwrap();
            nix.output("nix-store", ["--gc"]);
            meanwhile(&world);
        }
        unreachable!()
    });
    (world, last)
}

#[test]
fn what_is_collected_before_all_are_published_is_added_again() {
    let (world, last) = collected_between(|_| {});
    assert_eq!(last.result, StepResult::succeeded());
    for id in ["base", "other"] {
        world.assert_registered(id, ".wic", b"an image");
        world.assert_registered(id, "-vmlinuz", b"a kernel");
    }
    let nix = world.nix.as_ref().unwrap();
    nix.output("nix-store", ["--gc"]);
    world.assert_registered("base", ".wic", b"an image");
}

#[test]
fn what_was_collected_and_is_no_longer_there_keeps_all_from_being_published() {
    let (world, last) = collected_between(|world| {
        world.deploy("image-debian-qemuamd64.wic", b"another image");
    });
    let why = last.result.why.unwrap();
    assert_eq!(last.result.outcome, Outcome::Failed, "{why}");
    assert!(
        why.contains("was collected before all were published"),
        "{why}"
    );
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
