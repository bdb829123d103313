use std::os::unix::fs::symlink;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::base::arch::Arch;
use crate::base::nix32;
use crate::inputs::proof::*;
use crate::inspect::format::Format;
use crate::matrix::{Artifact, VariantKey};
use crate::settings::LayerInput;
use crate::store::BACKENDS;

const NAME: &str = "isar-base-qemuamd64.wic";
const MAP: &str = "isar-base-qemuamd64.wic.bmap";

/// A project directory with one variant registered in a Nix store.
struct RegisteredProject {
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

impl RegisteredProject {
    fn new() -> RegisteredProject {
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
        let image = RegisteredFile {
            sha256: hex::encode(&sha256),
            store_path,
            stamp,
        };
        RegisteredProject {
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
        Proofs::new(&self.settings, BACKENDS, false)
            .check(&self.variant, &self.record)
            .map(|moved| moved.is_some())
    }

    fn assert_refused(&self, why: &str) {
        let error = self.check().unwrap_err();
        assert!(error.contains(why), "{why} in {error}");
    }
}

#[test]
fn unchanged_files_are_proven() {
    assert_eq!(RegisteredProject::new().check(), Ok(false));
}

#[test]
fn an_entry_that_is_not_a_root_is_refused() {
    let project = RegisteredProject::new();
    let root = project.at("var/gcroots/auto/abc");
    fs::remove_file(&root).unwrap();
    project.assert_refused("is not a root of Nix's garbage collector");
    // After a move of the project, the root names the old path.
    symlink("/elsewhere/artifacts/qemuamd64/image", &root).unwrap();
    project.assert_refused("is not a root of Nix's garbage collector");
    let mut local = RegisteredProject::new();
    local.record.store = "local".into();
    fs::remove_dir_all(local.at("var")).unwrap();
    assert_eq!(local.check(), Ok(false), "the local store has no collector");
}

#[test]
fn an_optional_artifact_that_was_not_made_must_be_absent() {
    let project = RegisteredProject::new();
    let entry = project.at("artifacts/qemuamd64").join(MAP);
    symlink("/nowhere", &entry).unwrap();
    project.assert_refused("the last build did not make it");
    fs::remove_file(&entry).unwrap();
    assert_eq!(project.check(), Ok(false));
    let text = fs::read_to_string(project.at("artifact-hashes.nix")).unwrap();
    let line = text.lines().nth(1).unwrap().replace(NAME, MAP);
    let text = text.replace("{\n", &format!("{{\n{line}\n"));
    fs::write(project.at("artifact-hashes.nix"), text).unwrap();
    project.assert_refused("the last build did not make it");
}

#[test]
fn an_artifact_that_the_last_build_did_not_declare_is_refused() {
    let mut project = RegisteredProject::new();
    project.variant.artifacts.push(artifact("new", true));
    project.assert_refused("was not declared at the last build");
}

#[test]
fn a_file_with_another_stamp_is_read() {
    let project = RegisteredProject::new();
    let path = project.at("store/hash-image");
    let touch = |text: &str| {
        fs::remove_file(&path).unwrap();
        fs::write(&path, text).unwrap();
    };
    touch("image");
    assert_eq!(project.check(), Ok(true));
    touch("imagE");
    project.assert_refused("differs from the registered file");
    touch("images");
    project.assert_refused("differs from the registered file");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    project.assert_refused("is not a file");
}

#[test]
fn an_unreadable_hashes_file_is_refused() {
    let project = RegisteredProject::new();
    fs::write(project.at("artifact-hashes.nix"), "not a set").unwrap();
    project.assert_refused("cannot be read");
}
