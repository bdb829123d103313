use std::os::unix::fs::symlink;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::model::arch::Arch;
use crate::model::format::Format;
use crate::model::matrix::{Artifact, VariantKey};
use crate::model::nix32;
use crate::settings::LayerInput;

const NAME: &str = "isar-base-qemuamd64.wic";
const MAP: &str = "isar-base-qemuamd64.wic.bmap";

/// A variant that is registered in a Nix store, as far as files tell.
struct World {
    dir: TempDir,
    settings: Settings,
    variant: Variant,
    record: KeyRecord,
}

fn artifact(name: &str, optional: bool) -> Artifact {
    Artifact {
        kind: "wic".into(),
        unique_name: name.into(),
        deploy_name: "image".into(),
        attr: "wic".into(),
        optional,
        unique: false,
        format: Format::Any,
        products: Vec::new(),
    }
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::resolve(&LayerInput::of(dir.path())).unwrap();
        let at = |path: &str| dir.path().join(path);
        for place in ["store", "artifacts/qemuamd64", "var/gcroots/auto"] {
            fs::create_dir_all(at(place)).unwrap();
        }
        let store_path = at("store/hash-image");
        fs::write(&store_path, "image").unwrap();
        let sha256: [u8; 32] = Sha256::digest("image").into();
        let entry = at("artifacts/qemuamd64").join(NAME);
        symlink(&store_path, &entry).unwrap();
        symlink(&entry, at("var/gcroots/auto/abc")).unwrap();
        let line = format!("  \"{NAME}\" = \"{}\";\n", nix32::encode(&sha256));
        fs::write(at("artifact-hashes.nix"), format!("{{\n{line}}}\n")).unwrap();
        let stamp = Stamp::of(&fs::symlink_metadata(&store_path).unwrap());
        let made = |name: &str, made| KeyArtifact {
            unique_name: name.into(),
            made,
        };
        let image = Made {
            sha256: hex(&sha256),
            store_path,
            stamp,
        };
        World {
            settings,
            variant: Variant {
                key: VariantKey {
                    machine: "qemuamd64".into(),
                    id: "base".into(),
                },
                arch: Arch::Amd64,
                axes: Vec::new(),
                kas: Vec::new(),
                attr_path: Vec::new(),
                artifacts: vec![artifact(NAME, false), artifact(MAP, true)],
            },
            record: KeyRecord {
                key: "k".into(),
                unpinned: Vec::new(),
                artifacts: vec![made(NAME, Some(image)), made(MAP, None)],
                store: format!("nix {}", at("var").display()),
                run: "r".into(),
                started: "2026-11-22T03:00:00Z".parse().unwrap(),
            },
            dir,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn check(&self) -> Result<bool, String> {
        Proofs::new(&self.settings, false)
            .check(&self.variant, &self.record)
            .map(|moved| moved.is_some())
    }

    fn assert_refused(&self, why: &str) {
        let error = self.check().unwrap_err();
        assert!(error.contains(why), "{why} in {error}");
    }
}

#[test]
fn what_is_as_it_was_is_proven() {
    assert_eq!(World::new().check(), Ok(false));
}

#[test]
fn an_entry_that_the_collector_does_not_know_is_no_proof() {
    let world = World::new();
    let root = world.at("var/gcroots/auto/abc");
    fs::remove_file(&root).unwrap();
    world.assert_refused("is no root of Nix's garbage collector");
    // As after a project was moved: the root names the place where it was.
    symlink("/elsewhere/artifacts/qemuamd64/image", &root).unwrap();
    world.assert_refused("is no root of Nix's garbage collector");
    let mut local = World::new();
    local.record.store = "local".into();
    fs::remove_dir_all(local.at("var")).unwrap();
    assert_eq!(local.check(), Ok(false), "the local store has no collector");
}

#[test]
fn an_optional_artifact_that_was_not_made_must_not_be_there() {
    let world = World::new();
    let entry = world.at("artifacts/qemuamd64").join(MAP);
    symlink("/nowhere", &entry).unwrap();
    world.assert_refused("the last build did not make it");
    fs::remove_file(&entry).unwrap();
    assert_eq!(world.check(), Ok(false));
    let text = fs::read_to_string(world.at("artifact-hashes.nix")).unwrap();
    let line = text.lines().nth(1).unwrap().replace(NAME, MAP);
    let text = text.replace("{\n", &format!("{{\n{line}\n"));
    fs::write(world.at("artifact-hashes.nix"), text).unwrap();
    world.assert_refused("the last build did not make it");
}

#[test]
fn an_artifact_that_was_not_declared_then_is_not_proven() {
    let mut world = World::new();
    world.variant.artifacts.push(artifact("new", true));
    world.assert_refused("was not declared when it was built");
}

#[test]
fn a_file_of_another_state_is_read() {
    let world = World::new();
    let path = world.at("store/hash-image");
    let touch = |text: &str| {
        fs::remove_file(&path).unwrap();
        fs::write(&path, text).unwrap();
    };
    touch("image");
    assert_eq!(world.check(), Ok(true));
    touch("imagE");
    world.assert_refused("is not what was registered");
    touch("images");
    world.assert_refused("is not what was registered");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    world.assert_refused("is no file");
}

#[test]
fn a_hashes_file_that_cannot_be_read_proves_nothing() {
    let world = World::new();
    fs::write(world.at("artifact-hashes.nix"), "not a set").unwrap();
    world.assert_refused("cannot be read");
}
