//! What is made of an image: compressed, and its block map.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::process::Command;

use isar_build_all::event::outcome::Outcome;
use isar_build_all::event::{ArtifactOrigin, EventKind};
use isar_build_all::steps::result::StepResult;
use isar_build_all::steps::variant_state::VariantState;

use crate::world::{Ended, World, variant, worlds};

const SIZE: u64 = 6 * 1024 * 1024 + 1000;
const OURS: [&str; 4] = [
    "isar-packed-qemuamd64-vmlinuz",
    "isar-packed-qemuamd64.wic",
    "isar-packed-qemuamd64.wic.bmap",
    "isar-packed-qemuamd64.wic.zst",
];

/// Deploys an image with two pieces of data between holes, and a kernel. Returns the image's bytes.
fn deploy(world: &World, data: &[u8]) -> Vec<u8> {
    world.deploy("image-debian-qemuamd64-vmlinuz", b"a kernel");
    let image = world.deploy("image-debian-qemuamd64.wic", b"");
    let file = File::options().write(true).open(&image).unwrap();
    file.set_len(SIZE).unwrap();
    file.write_all_at(data, 4096).unwrap();
    file.write_all_at(&data.repeat(9000), 3 << 20).unwrap();
    fs::read(image).unwrap()
}

fn entry(world: &World, ending: &str) -> PathBuf {
    world.path(&format!(
        "artifacts/qemuamd64/isar-packed-qemuamd64.wic{ending}"
    ))
}

fn told(ended: &Ended) -> Vec<(String, ArtifactOrigin)> {
    let told = ended.events.iter().filter_map(|event| match event {
        EventKind::Artifact { name, how, .. } if name.contains(".wic.") => {
            Some((name.rsplit('.').next().unwrap().to_owned(), *how))
        }
        _ => None,
    });
    told.collect()
}

fn both(how: ArtifactOrigin) -> Vec<(String, ArtifactOrigin)> {
    vec![("zst".to_owned(), how), ("bmap".to_owned(), how)]
}

/// Whether what lies beside the image is of these bytes.
fn assert_made(world: &World, bytes: &[u8]) {
    let packed = File::open(entry(world, ".zst")).unwrap();
    assert!(zstd::decode_all(packed).unwrap() == bytes);
    let map = fs::read_to_string(entry(world, ".bmap")).unwrap();
    assert_eq!(map.matches("<Range ").count(), 2, "{map}");
    let copied = world.path("copied");
    for image in ["", ".zst"] {
        let output = Command::new("bmaptool")
            .args(["copy", "--bmap"])
            .args([entry(world, ".bmap"), entry(world, image), copied.clone()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(fs::read(&copied).unwrap() == bytes);
        fs::remove_file(&copied).unwrap();
    }
    assert_eq!(world.left("artifacts/qemuamd64"), OURS);
    assert!(!world.hashes().contains(".zst"));
    assert!(!world.hashes().contains(".bmap"));
}

#[test]
fn what_is_made_of_an_image_lies_beside_it_whatever_the_store() {
    for world in worlds() {
        let bytes = deploy(&world, b"first");
        let ended = world.all("packed");
        assert_eq!(ended.result, StepResult::succeeded());
        assert_eq!(told(&ended), both(ArtifactOrigin::Made));
        assert_made(&world, &bytes);
        let inode = || entry(&world, ".zst").metadata().unwrap().ino();
        let first = inode();

        // Of the same content nothing is made twice; not so where something has changed it.
        let again = world.all("packed");
        assert_eq!(again.result, StepResult::succeeded());
        assert_eq!(told(&again), both(ArtifactOrigin::Kept));
        assert_eq!(inode(), first);
        let packed = fs::read(entry(&world, ".zst")).unwrap();
        fs::write(entry(&world, ".zst"), &packed[1..]).unwrap();
        let mended = world.all("packed");
        let how = [
            ("bmap".to_owned(), ArtifactOrigin::Kept),
            ("zst".to_owned(), ArtifactOrigin::Made),
        ];
        assert_eq!(told(&mended), how);
        assert!(fs::read(entry(&world, ".zst")).unwrap() == packed);

        let bytes = deploy(&world, b"other");
        let ended = world.all("packed");
        assert_eq!(ended.result, StepResult::succeeded());
        assert_eq!(told(&ended), both(ArtifactOrigin::Made));
        assert_made(&world, &bytes);
    }
}

#[test]
fn the_next_build_does_not_change_what_is_made_of_the_last() {
    for world in worlds() {
        let bytes = deploy(&world, b"first");
        let mut state = VariantState::default();
        world.capture("packed", &mut state, &world.built());
        deploy(&world, b"other");
        let made = world.compress("packed", &mut state);
        assert_eq!(made.result, StepResult::succeeded());
        let registered = world.register("packed", &mut state);
        assert_eq!(registered.result, StepResult::succeeded());
        assert_made(&world, &bytes);
    }
}

#[test]
fn what_cannot_be_made_leaves_everything_as_it_was() {
    for world in worlds() {
        let bytes = deploy(&world, b"first");
        assert_eq!(world.all("packed").result, StepResult::succeeded());
        let hashes = world.hashes();
        deploy(&world, b"other");
        let in_the_way = entry(&world, ".zst.part");
        fs::create_dir(&in_the_way).unwrap();
        let failed = world.all("packed");
        assert_eq!(failed.result.outcome, Outcome::Failed);
        let why = failed.result.why.unwrap();
        assert!(why.contains("isar-packed-qemuamd64.wic.zst.part"), "{why}");
        fs::remove_dir(&in_the_way).unwrap();
        assert_eq!(world.hashes(), hashes);
        assert_made(&world, &bytes);
        assert!(!world.path("artifacts/qemuamd64/.captured").exists());
    }
}

#[test]
fn what_is_kept_is_of_the_content_that_is_recorded() {
    let world = World::local();
    let bytes = deploy(&world, b"first");
    assert_eq!(world.all("packed").result, StepResult::succeeded());
    // As where the disk has changed the file and left its times.
    let (records, key) = (&world.registry.records, variant("packed").key);
    let mut known = records.products(&key).unwrap();
    for record in &mut known {
        record.sha256 = record.sha256.replace(['0', '1', '2', '3'], "4");
    }
    records.record_products(&key, &known).unwrap();
    let again = world.all("packed");
    assert_eq!(told(&again), both(ArtifactOrigin::Made));
    assert_made(&world, &bytes);
    // Changed between the look and the registration: not told, and made by the next.
    let mut state = VariantState::default();
    world.capture("packed", &mut state, &world.built());
    world.compress("packed", &mut state);
    fs::write(entry(&world, ".zst"), "changed").unwrap();
    let registered = world.register("packed", &mut state);
    assert_eq!(registered.result, StepResult::succeeded());
    assert_eq!(
        told(&registered),
        [("bmap".to_owned(), ArtifactOrigin::Kept)]
    );
    assert_eq!(records.products(&key).unwrap().len(), 1);
    let mended = world.all("packed");
    assert_eq!(mended.result, StepResult::succeeded());
    assert_made(&world, &bytes);
}

#[test]
fn a_place_that_is_not_for_a_product_is_refused_before_anything_is_registered() {
    let world = World::local();
    deploy(&world, b"first");
    let place = entry(&world, ".zst");
    fs::create_dir_all(&place).unwrap();
    let refused = |what: &str| {
        let ended = world.all("packed");
        assert_eq!(ended.result.outcome, Outcome::Failed);
        let why = ended.result.why.unwrap();
        assert!(why.contains(".wic.zst is") && why.contains(what), "{why}");
        assert_eq!(world.hashes(), "");
    };
    refused("not a file");
    fs::remove_dir(&place).unwrap();
    std::os::unix::fs::symlink("elsewhere", &place).unwrap();
    refused("no longer declared");
    fs::remove_file(&place).unwrap();
    assert_eq!(world.all("packed").result, StepResult::succeeded());
}

#[test]
fn what_a_registration_gives_up_is_not_put_in_its_place() {
    let world = World::local();
    let bytes = deploy(&world, b"first");
    assert_eq!(world.all("packed").result, StepResult::succeeded());
    let hashes = world.hashes();
    deploy(&world, b"other");
    let mut state = VariantState::default();
    world.capture("packed", &mut state, &world.built());
    world.compress("packed", &mut state);
    assert_eq!(world.left("artifacts/qemuamd64").len(), OURS.len() + 3);
    // Nobody can write the hashes file.
    let file = world.path("artifact-hashes.nix");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let failed = world.register("packed", &mut state);
    assert_eq!(failed.result.outcome, Outcome::Failed);
    fs::remove_dir(&file).unwrap();
    fs::write(&file, &hashes).unwrap();
    assert_made(&world, &bytes);
}

#[test]
fn a_block_map_that_the_build_deploys_is_the_builds() {
    let world = World::local();
    deploy(&world, b"first");
    let map = world.deploy("image-debian-qemuamd64.wic.bmap", b"<a map/>");
    let ended = world.all("packed");
    assert_eq!(ended.result, StepResult::succeeded());
    let made: Vec<_> = told(&ended)
        .into_iter()
        .filter(|(_, how)| *how == ArtifactOrigin::Made)
        .collect();
    assert_eq!(made, [("zst".to_owned(), ArtifactOrigin::Made)]);
    world.assert_registered("packed", ".wic.bmap", b"<a map/>");
    // It comes and goes.
    for _ in 0..2 {
        fs::remove_file(&map).unwrap();
        let bytes = fs::read(entry(&world, "")).unwrap();
        assert_eq!(world.all("packed").result, StepResult::succeeded());
        assert_made(&world, &bytes);
        assert!(!entry(&world, ".bmap").is_symlink());
        world.deploy("image-debian-qemuamd64.wic.bmap", b"<a map/>");
        assert_eq!(world.all("packed").result, StepResult::succeeded());
        world.assert_registered("packed", ".wic.bmap", b"<a map/>");
    }
}

#[test]
fn what_is_declared_no_longer_goes() {
    let world = World::local();
    deploy(&world, b"first");
    assert_eq!(world.all("packed").result, StepResult::succeeded());
    let key = variant("packed").key;
    assert_eq!(world.registry.records.products(&key).unwrap().len(), 2);
    // One that somebody has changed stays.
    fs::write(entry(&world, ".bmap"), "mine").unwrap();
    assert_eq!(world.both("packed").result, StepResult::succeeded());
    assert_eq!(world.left("artifacts/qemuamd64"), OURS[..3]);
    assert_eq!(fs::read_to_string(entry(&world, ".bmap")).unwrap(), "mine");
    assert_eq!(world.registry.records.products(&key).unwrap().len(), 0);
}

#[test]
fn what_lies_in_the_output_directory_has_its_products_too() {
    for world in worlds() {
        deploy(&world, b"first");
        assert_eq!(world.both("packed").result, StepResult::succeeded());
        assert_eq!(world.left("artifacts/qemuamd64"), OURS[..2]);
        // The second time there is a block map, which a build could have deployed.
        for how in [ArtifactOrigin::Made, ArtifactOrigin::Kept] {
            let mut state = VariantState::default();
            let steps = [
                world.take_output("packed", &mut state),
                world.compress("packed", &mut state),
                world.register("packed", &mut state),
            ];
            for ended in &steps {
                assert_eq!(ended.result, StepResult::succeeded());
            }
            assert_eq!(told(&steps[2]), both(how));
            assert!(!entry(&world, ".bmap").is_symlink());
            assert!(!world.hashes().contains(".bmap"));
        }
        assert_eq!(world.left("artifacts/qemuamd64"), OURS);
        let packed = File::open(entry(&world, ".zst")).unwrap();
        assert!(zstd::decode_all(packed).unwrap() == fs::read(entry(&world, "")).unwrap());
    }
}
