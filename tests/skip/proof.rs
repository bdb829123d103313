//! A record alone skips nothing: what was registered has to be there, and to be what it was. And what
//! `explain` says of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use support::pinned::World;

const NONE: &[&str] = &[];
const ARM: &[&str] = &["qemuarm64/base"];
const NAME: &str = "isar-base-qemuarm64.wic";

fn entry(world: &World) -> PathBuf {
    world.project.path().join("artifacts/qemuarm64").join(NAME)
}

fn stored(world: &World) -> PathBuf {
    fs::read_link(entry(world)).unwrap()
}

/// Spoils one thing, and expects a build of that variant alone, and that all is well after it.
fn spoiled(spoil: impl FnOnce(&World)) {
    let world = World::built();
    spoil(&world);
    world.expect(&[], ARM);
    world.expect(&[], NONE);
    assert!(entry(&world).exists());
}

fn writable(world: &World) -> PathBuf {
    let path = stored(world);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

#[test]
fn an_output_entry_that_is_gone_or_another_is_made_again() {
    spoiled(|world| fs::remove_file(entry(world)).unwrap());
    spoiled(|world| {
        fs::remove_file(entry(world)).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", entry(world)).unwrap();
    });
    spoiled(|world| {
        let bytes = fs::read(entry(world)).unwrap();
        fs::remove_file(entry(world)).unwrap();
        fs::write(entry(world), bytes).unwrap();
    });
}

#[test]
fn a_store_file_that_is_gone_or_changed_is_made_again() {
    spoiled(|world| fs::remove_file(stored(world)).unwrap());
    spoiled(|world| fs::write(writable(world), "shorter").unwrap());
    // Of one length, with the time set back: what tells is the time of change.
    spoiled(|world| {
        let path = writable(world);
        let before = fs::metadata(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, bytes).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
    });
}

#[test]
fn a_store_file_of_another_state_and_the_same_content_is_read_once() {
    let world = World::built();
    let path = stored(&world);
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).unwrap();
    fs::rename(&copy, &path).unwrap();
    world.expect(&[], NONE);
    world.expect(&[], NONE);
    let json = world
        .project
        .run(&["explain", "qemuarm64/base", "--format", "json"]);
    assert!(
        json.stdout.contains("\"would\": \"skip\""),
        "{}",
        json.stdout
    );
}

#[test]
fn a_hash_that_is_gone_or_another_is_made_again() {
    let edit = |world: &World, edit: &dyn Fn(&str) -> Option<String>| {
        let text = world.project.read("artifact-hashes.nix");
        let lines: Vec<String> = text
            .lines()
            .filter_map(|line| {
                if line.contains(NAME) {
                    edit(line)
                } else {
                    Some(line.to_owned())
                }
            })
            .collect();
        world
            .project
            .write("artifact-hashes.nix", &(lines.join("\n") + "\n"));
    };
    spoiled(|world| edit(world, &|_| None));
    spoiled(|world| {
        edit(world, &|line| {
            let at = line.find("= \"").unwrap() + 4;
            let mut line = line.to_owned();
            let other = if &line[at..=at] == "0" { "1" } else { "0" };
            line.replace_range(at..=at, other);
            Some(line)
        });
    });
    let world = World::built();
    fs::remove_file(world.project.path().join("artifact-hashes.nix")).unwrap();
    let all: Vec<String> = world
        .events()
        .iter()
        .filter(|event| event["kind"] == "plan")
        .flat_map(|event| event["nodes"].as_array().unwrap().clone())
        .map(|node| node["variant"].as_str().unwrap().to_owned())
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    world.expect(&[], &all);
}

#[test]
fn verify_reads_what_a_look_would_take() {
    let world = World::built();
    // What no stamp shows: the record is told that the spoiled file is the right one.
    let path = writable(&world);
    let bytes = fs::read(&path).unwrap();
    let mut spoilt = bytes.clone();
    spoilt[0] ^= 1;
    fs::write(&path, &spoilt).unwrap();
    let records = world.project.path().join(".isar-build-all/records.sqlite");
    let connection = rusqlite::Connection::open(records).unwrap();
    let text: String = connection
        .query_row(
            "SELECT artifacts FROM keys WHERE machine = 'qemuarm64'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let mut artifacts: serde_json::Value = serde_json::from_str(&text).unwrap();
    let there = fs::metadata(&path).unwrap();
    let stamp = isar_build_all::fs::stamp::Stamp::of(&there);
    artifacts[0]["made"]["stamp"] = serde_json::to_value(stamp).unwrap();
    connection
        .execute(
            "UPDATE keys SET artifacts = ?1 WHERE machine = 'qemuarm64'",
            [artifacts.to_string()],
        )
        .unwrap();
    drop(connection);
    world.expect(&[], NONE);
    world.expect(&["--verify"], ARM);
    world.expect(&["--verify"], NONE);
    assert_eq!(fs::read(entry(&world)).unwrap(), bytes);
}

#[test]
fn another_store_or_output_directory_is_no_place_to_skip_for() {
    let world = World::built();
    let said = world.project.said(
        world
            .project
            .command(&[])
            .env("ISAR_BUILD_ALL_OUTPUT_DIR", "elsewhere"),
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(!said.stdout.contains("nothing to do"), "{}", said.stdout);
    assert!(
        world
            .project
            .path()
            .join("elsewhere/qemuarm64")
            .join(NAME)
            .exists()
    );
}

#[test]
fn everything_is_published_at_once_with_what_is_skipped() {
    let world = World::built();
    let text = world.project.read("kas/server-2.yml");
    world
        .project
        .write("kas/server-2.yml", &format!("{text}# changed\n"));
    let built = ["qemuamd64/server-server-2"];
    world.expect(&["--publish-if", "all"], &built);
    world.expect(&["--publish-if", "all"], NONE);
}

#[test]
fn explain_names_what_differs() {
    let world = World::new();
    let explain = |args: &[&str]| {
        let said = world.project.run(&[&["explain"], args].concat());
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stdout
    };
    let text = explain(&["qemuarm64/base"]);
    assert!(
        text.contains("no complete build of it is recorded"),
        "{text}"
    );
    assert!(!world.project.path().join(".isar-build-all").exists());
    let all = world.run(&[]);
    assert_eq!(all.code, Some(0), "{}", all.stderr);
    let text = explain(&["qemuarm64/base"]);
    assert!(
        text.starts_with("qemuarm64/base: unchanged, would not be built\n"),
        "{text}"
    );
    let edit = |file: &str| {
        let text = world.project.read(file);
        world.project.write(file, &format!("{text}# changed\n"));
    };
    edit("kas/qemuarm64.yml");
    edit("meta-arm/conf/layer.conf");
    world.project.write("meta-arm/new", "x");
    fs::remove_file(entry(&world)).unwrap();
    let text = explain(&["base"]);
    let because: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("  because     "))
        .collect();
    let shown = because
        .join("\n")
        .replace(world.project.path().to_str().unwrap(), "[project]");
    insta::assert_snapshot!(shown, @"
    kas file kas/qemuarm64.yml has changed (place 2 of the chain)
    layer file meta-arm/conf/layer.conf has changed
    layer file meta-arm/new is new
    [project]/artifacts/qemuarm64/isar-base-qemuarm64.wic is gone
    ");
    assert!(text.lines().count() < 40, "one screen for two variants");
    let text = explain(&["--verbose", "qemuarm64/base"]);
    assert!(
        text.contains("    repository isar: https://example.org/isar commit b90b722"),
        "{text}"
    );
    let said = world.project.run(&["explain", "nobody"]);
    assert_eq!(said.code, Some(3));
}
