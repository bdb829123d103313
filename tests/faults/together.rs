//! `--publish-if all`: one transaction over every variant of a run.

use std::fs;

use crate::world::{World, Wrong};

#[test]
fn nothing_is_published_until_every_variant_succeeded_and_then_all_at_once() {
    let world = World::new();
    let said = world.run(&["--publish-if", "all", "-j", "2", "--events", "e.jsonl"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(world.project.hashed().len(), 7);
    assert_eq!(world.check(), Wrong::default());
    let registered = |event: &serde_json::Value| event.get("store_path").is_some();
    let events = world.project.events("e.jsonl");
    assert_eq!(events.iter().filter(|event| registered(event)).count(), 7);

    // One of four fails: whatever the others made, everything stays as it is.
    let hashes = fs::read_to_string(world.path("artifact-hashes.nix")).unwrap();
    fs::remove_file(world.path("fake/deploy/qemuarm64")).unwrap();
    let said = world.run(&["--publish-if", "all", "-k"]);
    assert_eq!(said.code, Some(10));
    assert!(
        said.stderr.contains("nothing was published"),
        "{}",
        said.stderr
    );
    let now = fs::read_to_string(world.path("artifact-hashes.nix")).unwrap();
    assert_eq!(now, hashes);
    assert_eq!(world.check(), Wrong::default());
}
