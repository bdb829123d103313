//! The gates between capture and registration: what they refuse is not registered, and without them it
//! would be.

use std::fs;

use isar_build_all::event::GateVerdict;
use isar_build_all::event::outcome::Outcome;
use isar_build_all::inspect::format::Format;
use isar_build_all::settings::GateChoice;

use crate::images::{AMD64, ARM64, arm64_image, bzimage, elf, patch, run, system};
use crate::world::World;

fn refused(world: &mut World, gate: GateChoice, why: &str) {
    let ended = world.variant("a");
    assert_eq!(ended.outcome, Outcome::Refused, "{}", ended.why);
    assert!(ended.why.starts_with(why), "{}", ended.why);
    assert!(!ended.hint.is_empty());
    let refusals: Vec<&str> = ended
        .gates
        .iter()
        .filter(|(_, verdict, _)| *verdict == GateVerdict::Refused)
        .map(|(name, _, _)| name.as_str())
        .collect();
    assert_eq!(refusals, [gate.as_str()]);
    assert_eq!(world.hashes(), "");
    assert!(world.stage_is_empty());

    world.skip(gate);
    let ended = world.variant("a");
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.why);
    assert!(world.hashes().contains("isar-a-qemuamd64.wic"));
    let loud = format!("the gate `{}` is left open", gate.as_str());
    assert!(
        ended
            .warnings
            .iter()
            .any(|warning| warning.starts_with(&loud))
    );
}

#[test]
fn a_good_variant_is_registered_and_every_gate_says_why() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    world.deploy(".wic", &system(dir.path(), AMD64, &[]));
    run(dir.path(), "bmaptool", &["create", "-o", "map", "disk.wic"]);
    world.deploy(".wic.bmap", &dir.path().join("map"));
    world.deploy_bytes("-vmlinuz", &bzimage());
    let ended = world.variant("a");
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.why);
    let said: Vec<String> = ended
        .gates
        .iter()
        .map(|(name, _, why)| format!("{name}: {why}"))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    shape: isar-a-qemuamd64.wic: a whole GPT disk image
    architecture: isar-a-qemuamd64.wic: 3 programs, amd64; 1 foreign program in allowed places
    shape: isar-a-qemuamd64-vmlinuz: a whole program or kernel
    architecture: isar-a-qemuamd64-vmlinuz: 1 program, amd64
    shape: isar-a-qemuamd64.wic.bmap: a whole block map
    content: isar-a-qemuamd64.wic: unique
    ");
}

#[test]
fn a_foreign_program_in_the_image_is_refused_only_by_its_gate() {
    let (mut world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let image = system(dir.path(), AMD64, &[("usr/bin/k3s", elf(ARM64))]);
    world.deploy(".wic", &image);
    refused(
        &mut world,
        GateChoice::Architecture,
        "isar-a-qemuamd64.wic: /usr/bin/k3s in partition 2 (platform) is for arm64, the machine is \
         amd64",
    );
}

#[test]
fn a_foreign_program_that_the_settings_allow_is_registered() {
    let (mut world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let image = system(dir.path(), AMD64, &[("opt/fw/a.elf", elf(ARM64))]);
    world.deploy(".wic", &image);
    assert_eq!(world.variant("a").outcome, Outcome::Refused);
    world.settings.foreign_allowed.value = vec!["/opt/fw/**".to_owned()];
    assert_eq!(world.variant("a").outcome, Outcome::Succeeded);
}

#[test]
fn a_foreign_kernel_is_refused_only_by_its_gate() {
    let mut world = World::new();
    world.deploy_bytes(".wic", b"of no known format");
    world.deploy_bytes("-vmlinuz", &arm64_image());
    refused(
        &mut world,
        GateChoice::Architecture,
        "isar-a-qemuamd64-vmlinuz: it is for arm64, the machine is amd64",
    );
}

#[test]
fn what_is_not_of_the_format_that_its_name_promises_is_refused_only_by_its_gate() {
    let mut world = World::new();
    world.format = Format::of_name("image-qemuamd64.wic");
    world.deploy_bytes(".wic", b"of no known format");
    refused(
        &mut world,
        GateChoice::Shape,
        "isar-a-qemuamd64.wic: it is of no format that is known here, where the name \
         image-qemuamd64.wic promises a disk image",
    );
    // A whole kernel is no disk image, either, and is one where that is asked for.
    let mut world = World::new();
    world.format = Format::Disk;
    world.deploy_bytes(".wic", &bzimage());
    refused(
        &mut world,
        GateChoice::Shape,
        "isar-a-qemuamd64.wic: it is program or kernel, where",
    );
    let mut world = World::new();
    world.format = Format::Kernel;
    world.deploy_bytes(".wic", &bzimage());
    assert_eq!(world.variant("a").outcome, Outcome::Succeeded);
    world.format = Format::Tar;
    let ended = world.variant("a");
    assert!(
        ended
            .why
            .contains("format = \"tar\" promises a tar archive"),
        "{}",
        ended.why
    );
    assert!(ended.hint.contains("format = \"any\""), "{}", ended.hint);
}

#[test]
fn a_zeroed_image_is_refused_only_by_its_gate() {
    let mut world = World::new();
    world.deploy_bytes(".wic", &[0; 4096]);
    refused(
        &mut world,
        GateChoice::Shape,
        "isar-a-qemuamd64.wic: all of its 4096 bytes are zero",
    );
}

#[test]
fn a_damaged_gpt_is_refused_only_by_its_gate() {
    let (mut world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let image = system(dir.path(), AMD64, &[]);
    patch(&image, 512 + 57, b"x");
    world.deploy(".wic", &image);
    refused(
        &mut world,
        GateChoice::Shape,
        "isar-a-qemuamd64.wic: the GPT header has a wrong checksum",
    );
}

#[test]
fn a_truncated_image_is_refused_only_by_its_gate() {
    let (mut world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let image = system(dir.path(), AMD64, &[]);
    let whole = fs::read(&image).unwrap();
    world.deploy_bytes(".wic", &whole[..20 << 20]);
    refused(
        &mut world,
        GateChoice::Shape,
        "isar-a-qemuamd64.wic: it has 20971520 bytes and needs 41943040 by its partition table: it is \
         truncated",
    );
}

#[test]
fn the_block_map_of_another_image_is_refused_only_by_its_gate() {
    let (mut world, dir) = (World::new(), tempfile::tempdir().unwrap());
    system(dir.path(), AMD64, &[]);
    run(dir.path(), "bmaptool", &["create", "-o", "map", "disk.wic"]);
    world.deploy(".wic.bmap", &dir.path().join("map"));
    let other = tempfile::tempdir().unwrap();
    world.deploy(".wic", &system(other.path(), AMD64, &[]));
    refused(
        &mut world,
        GateChoice::Shape,
        "isar-a-qemuamd64.wic.bmap: blocks 0 to ",
    );
}

#[test]
fn equal_images_of_two_variants_are_refused_and_equal_kernels_are_shared() {
    let mut world = World::new();
    world.deploy_bytes(".wic", b"the image of a");
    world.deploy_bytes("-vmlinuz", &bzimage());
    assert_eq!(world.variant("a").outcome, Outcome::Succeeded);
    assert_eq!(
        world.variant("a").outcome,
        Outcome::Succeeded,
        "it is its own"
    );
    let registered = world.hashes();

    let ended = world.variant("b");
    assert_eq!(ended.outcome, Outcome::Refused);
    assert_eq!(
        ended.why,
        "isar-b-qemuamd64.wic of qemuamd64/b is the same file as isar-a-qemuamd64.wic (qemuamd64/a)"
    );
    assert_eq!(world.hashes(), registered);
    assert!(
        !world
            .path("artifacts/qemuamd64/isar-b-qemuamd64.wic")
            .exists()
    );
    assert!(world.stage_is_empty());

    world.deploy_bytes(".wic", b"the image of b");
    let ended = world.variant("b");
    assert_eq!(ended.outcome, Outcome::Succeeded);
    assert!(
        ended.gates.contains(&(
            "content".to_owned(),
            GateVerdict::Passed,
            "isar-b-qemuamd64-vmlinuz: shared, same as isar-a-qemuamd64-vmlinuz (qemuamd64/a)"
                .to_owned()
        ))
    );

    world.deploy_bytes(".wic", b"the image of a");
    assert_eq!(world.variant("b").outcome, Outcome::Refused);
    world.skip(GateChoice::Content);
    let ended = world.variant("b");
    assert_eq!(
        ended.outcome,
        Outcome::Succeeded,
        "only its gate refused it"
    );
    assert!(
        ended.warnings[1..]
            .iter()
            .any(|warning| warning.contains("`content`"))
    );
}

#[test]
fn what_lies_in_the_output_directory_goes_through_the_gates_too() {
    let world = World::new();
    let dir = world.path("artifacts/qemuamd64");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("isar-a-qemuamd64.wic"), vec![0; 4096]).unwrap();
    let ended = world.hash_only("a");
    assert_eq!(ended.outcome, Outcome::Refused, "{}", ended.why);
    fs::write(dir.join("isar-a-qemuamd64.wic"), b"something").unwrap();
    assert_eq!(world.hash_only("a").outcome, Outcome::Succeeded);
}
