//! What is made of an image, from the command line: it is made, kept, made again and taken away.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use isar_build_all::fs::try_lock;
use serde_json::{Value, json};

use support::pinned::World;
use support::project::outcome;

const NONE: &[&str] = &[];
const ARM: &[&str] = &["qemuarm64/base"];
const ALL: &[&str] = &[
    "qemuamd64/base",
    "qemuarm64/base",
    "qemuamd64/server-server-1",
    "qemuamd64/server-server-2",
];
const PLAIN: &str = "wic = { ";
const OF_ARM: &str = "artifacts = [\"wic\"]";

fn edit(world: &World, from: &str, to: &str) {
    let matrix = world.project.read("variants.toml");
    assert!(matrix.contains(from), "{from}");
    world
        .project
        .write("variants.toml", &matrix.replacen(from, to, 1));
}

fn entry(world: &World, ending: &str) -> PathBuf {
    let dir = world.project.path().join("artifacts/qemuarm64");
    dir.join(format!("isar-base-qemuarm64.wic{ending}"))
}

/// The image on one machine is compressed and mapped; everything is built once.
fn built() -> World {
    let world = World::new();
    edit(
        &world,
        OF_ARM,
        "artifacts = [{ type = \"wic\", compress = \"zst\", bmap = true }]\nrelease = [\".wic.zst\", \".wic.bmap\", \".wic\"]",
    );
    edit(
        &world,
        "[settings]",
        "[release]\nvariants = [\"qemuarm64/*\"]\n\n[settings]",
    );
    world.expect(&[], ALL);
    world
}

fn assert_made(world: &World) {
    let packed = fs::File::open(entry(world, ".zst")).unwrap();
    let image = fs::read(entry(world, "")).unwrap();
    assert_eq!(zstd::decode_all(packed).unwrap(), image);
    let map = fs::read_to_string(entry(world, ".bmap")).unwrap();
    assert!(
        map.contains(&format!("<ImageSize> {} </ImageSize>", image.len())),
        "{map}"
    );
}

#[test]
fn what_is_declared_is_made_and_told() {
    let world = built();
    assert_made(&world);
    let events = world.events();
    assert_eq!(outcome(&events, "compress:qemuarm64/base"), "succeeded");
    let made: Vec<&Value> = events
        .iter()
        .filter(|event| event["how"] == "made")
        .collect();
    assert_eq!(made.len(), 2);
    for (event, ending) in made.iter().zip([".zst", ".bmap"]) {
        assert_eq!(event["name"], format!("isar-base-qemuarm64.wic{ending}"));
        assert_eq!(
            event["bytes"],
            entry(&world, ending).metadata().unwrap().len()
        );
        assert_eq!(event["type"], "wic");
    }
    assert!(
        world
            .project
            .hashed()
            .iter()
            .all(|name| !name.ends_with("arm64.wic.bmap"))
    );
    let said = world.project.run(&["plan", "--format", "json"]);
    let plan: Value = serde_json::from_str(&said.stdout).unwrap();
    let products = json!([
        { "unique_name": "isar-base-qemuarm64.wic.zst", "method": "zst:3" },
        { "unique_name": "isar-base-qemuarm64.wic.bmap", "method": "bmap" },
    ]);
    let variants = plan["variants"].as_array().unwrap();
    let products_of = |id: &str, machine: &str| {
        let mut variants = variants.iter();
        let variant = variants.find(|one| one["id"] == id && one["machine"] == machine);
        variant.unwrap()["artifacts"][0]["products"].clone()
    };
    assert_eq!(products_of("base", "qemuarm64"), products);
    assert_eq!(products_of("base", "qemuamd64"), Value::Null);
    let nodes = plan["nodes"].as_array().unwrap();
    let compress: Vec<&Value> = nodes
        .iter()
        .filter(|node| node["step"] == "compress")
        .collect();
    assert_eq!(compress.len(), 1);
    assert_eq!(compress[0]["needs"], json!(["capture:qemuarm64/base"]));
    assert_eq!(compress[0]["lanes"], json!({ "compress": 1 }));
    assert_eq!(
        plan["releases"][0]["assets"],
        json!([
            { "deploy_name": "image-qemuarm64.wic.zst", "asset": "base-qemuarm64-dev.wic.zst",
              "optional": false, "unique_name": "isar-base-qemuarm64.wic.zst" },
            { "deploy_name": "image-qemuarm64.wic.bmap", "asset": "base-qemuarm64-dev.wic.bmap",
              "optional": false, "unique_name": "isar-base-qemuarm64.wic.bmap" },
            { "deploy_name": "image-qemuarm64.wic", "asset": "base-qemuarm64-dev.wic",
              "optional": false },
        ])
    );
}

#[test]
fn what_is_not_as_it_was_made_is_made_again() {
    let world = built();
    world.expect(&[], NONE);
    for ending in [".zst", ".bmap"] {
        fs::remove_file(entry(&world, ending)).unwrap();
        let said = world.project.run(&["explain", "qemuarm64/base"]);
        let name = format!("isar-base-qemuarm64.wic{ending}");
        assert!(said.stdout.contains(&name), "{}", said.stdout);
        world.expect(&[], ARM);
        assert_made(&world);
        world.expect(&[], NONE);
        // Of one length.
        let mut bytes = fs::read(entry(&world, ending)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(entry(&world, ending), &bytes).unwrap();
        world.expect(&[], ARM);
        assert_made(&world);
        world.expect(&[], NONE);
    }
    // As after a project was copied to another place: looked at once.
    let copy = entry(&world, ".copy");
    fs::copy(entry(&world, ".zst"), &copy).unwrap();
    fs::rename(&copy, entry(&world, ".zst")).unwrap();
    world.expect(&["--verify"], NONE);
    world.expect(&[], NONE);
    // Without the records nobody knows what it was made of.
    fs::remove_file(world.project.path().join(".isar-build-all/records.sqlite")).unwrap();
    world.expect(&[], ALL);
    assert_made(&world);
}

#[test]
fn a_change_of_the_declaration_changes_what_is_there() {
    let world = World::built();
    assert!(!entry(&world, ".zst").exists());
    let packed = |keys: &str| format!("artifacts = [{{ type = \"wic\", {keys} }}]");
    let one = packed("compress = \"zst:1\"");
    edit(&world, OF_ARM, &one);
    world.expect(&[], ARM);
    world.expect(&[], NONE);
    let inode = || entry(&world, ".zst").metadata().unwrap().ino();
    let first = inode();
    assert!(!entry(&world, ".bmap").exists());
    let two = packed("compress = \"zst:19\", bmap = true");
    edit(&world, &one, &two);
    world.expect(&[], ARM);
    assert_ne!(inode(), first);
    assert_made(&world);
    edit(&world, &two, OF_ARM);
    world.expect(&[], ARM);
    for ending in [".zst", ".bmap"] {
        assert!(!entry(&world, ending).exists(), "{ending}");
    }
    world.expect(&[], NONE);
    // Where an artifact type has it, a machine can do without.
    edit(&world, PLAIN, "wic = { compress = \"zst\", ");
    edit(&world, OF_ARM, &packed("compress = \"none\""));
    world.expect(&[], &[ALL[0], ALL[2], ALL[3]]);
    assert!(!entry(&world, ".zst").exists());
}

#[test]
fn what_a_dead_run_was_making_is_removed() {
    let world = built();
    for ending in [".zst.part", ".bmap.part"] {
        fs::write(entry(&world, ending), "half").unwrap();
    }
    // Somebody with another state directory writes one of them.
    let living = fs::File::open(entry(&world, ".zst.part")).unwrap();
    assert!(try_lock(&living).unwrap());
    for (ending, stays) in [(".bmap.part", true), (".zst.part", false)] {
        let said = world.project.run(&["recover"]);
        assert_eq!(said.code, Some(0), "{}", said.stdout);
        assert!(!entry(&world, ending).exists(), "{}", said.stdout);
        assert_eq!(entry(&world, ".zst.part").exists(), stays);
        rustix::fs::flock(&living, rustix::fs::FlockOperation::Unlock).unwrap();
    }
    assert_made(&world);
}

#[test]
fn a_dry_run_says_what_would_be_made() {
    let world = World::new();
    edit(&world, PLAIN, "wic = { compress = \"zst\", ");
    let said = world.project.run(&["--dry-run", "--machine", "qemuarm64"]);
    let line = "would make      isar-base-qemuarm64.wic.zst\n";
    assert!(said.stdout.contains(line), "{}", said.stdout);
}
