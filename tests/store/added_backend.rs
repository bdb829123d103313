//! A store that a caller adds to the tool: a type that implements `Backend`, and one line.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use isar_build_all::base::arch::Arch;
use isar_build_all::base::nix32;
use isar_build_all::commands::Tool;
use isar_build_all::event::ArtifactOrigin;
use isar_build_all::fs::stamp::Stamp;
use isar_build_all::hashes_file::parse;
use isar_build_all::inputs::proof::Proofs;
use isar_build_all::inputs::record::{KeyArtifact, KeyRecord, RegisteredFile};
use isar_build_all::inspect::format::Format;
use isar_build_all::matrix::{Artifact, Variant, VariantKey};
use isar_build_all::settings::{Environment, LayerInput, Settings, StoreWord};
use isar_build_all::state::journal::{
    Entry, IntendedArtifact, IntendedVariant, Journal, Registration,
};
use isar_build_all::store::backend::{FoundStore, GcRoots, NoStore, OpenedStore, StoreRun};
use isar_build_all::store::entries::Before;
use isar_build_all::store::place::StorePlace;
use isar_build_all::store::{Added, Backend, Captured, Hold, OpenStore, Store, StoreError};
use support::project::Project;

const IMAGE: &str = "isar-base-qemuarm64.wic";

/// The calls of [`Dummy`] and [`DummyStore`], in their order.
static CALLS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn called(call: &str) {
    CALLS.lock().unwrap().push(call.to_owned());
}

fn was_called(call: &str) -> bool {
    CALLS.lock().unwrap().iter().any(|one| one == call)
}

/// A directory with a directory for each file.
#[derive(Debug)]
struct Dummy;

impl Backend for Dummy {
    fn word(&self) -> StoreWord {
        StoreWord {
            name: "dummy",
            help: "A store of this test",
        }
    }

    fn title(&self) -> &'static str {
        "the dummy store"
    }

    fn find(&self, _: &Environment) -> Result<Box<dyn FoundStore>, NoStore> {
        Ok(Box::new(DummyFound))
    }

    fn reopen(&self, place: &StorePlace) -> Result<Store, StoreError> {
        called("reopen");
        let shelf = place.path("shelf").unwrap();
        Ok(Store::from(DummyStore { shelf }))
    }

    fn roots(&self, record: &str) -> Option<GcRoots> {
        let link = record.strip_prefix("dummy ")?;
        Some(GcRoots {
            links: HashSet::from([PathBuf::from(link)]),
            collector: "the dummy's collector",
        })
    }
}

#[derive(Debug)]
struct DummyFound;

impl FoundStore for DummyFound {
    fn open(&self, run: &StoreRun<'_>) -> OpenedStore {
        OpenedStore {
            store: Store::from(DummyStore {
                shelf: run.state_dir.join("shelf"),
            }),
            note: None,
            undo: None,
        }
    }
}

#[derive(Debug)]
struct DummyStore {
    shelf: PathBuf,
}

impl DummyStore {
    fn point(target: &Path, link: &Path) {
        let _ = fs::remove_file(link);
        std::os::unix::fs::symlink(target, link).unwrap();
    }
}

impl OpenStore for DummyStore {
    fn kind(&self) -> &'static str {
        "dummy"
    }

    fn dir(&self) -> &Path {
        &self.shelf
    }

    fn place(&self) -> StorePlace {
        StorePlace::new("dummy", &[("shelf", &self.shelf)])
    }

    fn path_of(&self, sha256: &[u8; 32], name: &str) -> Result<PathBuf, StoreError> {
        Ok(self.shelf.join(nix32::encode(sha256)).join(name))
    }

    fn has(&self, _: &Hold, sha256: &[u8; 32], name: &str) -> Result<bool, StoreError> {
        Ok(self.path_of(sha256, name)?.exists())
    }

    fn insert(&self, _: &Hold, captured: &Captured) -> Result<Added, StoreError> {
        called("insert");
        let store_path = self.path_of(&captured.sha256, &captured.unique_name)?;
        fs::create_dir_all(store_path.parent().unwrap()).unwrap();
        fs::copy(&captured.path, &store_path).unwrap();
        Ok(Added {
            store_path,
            how: ArtifactOrigin::Added,
        })
    }

    fn link(&self, _: &Hold, added: &Added, link: &Path) -> Result<(), StoreError> {
        called("link");
        DummyStore::point(&added.store_path, link);
        Ok(())
    }

    fn turn_back(&self, _: &Hold, before: &Path, link: &Path) -> Result<(), StoreError> {
        called("turn_back");
        DummyStore::point(before, link);
        Ok(())
    }
}

/// The tool with the dummy.
fn tool() -> Tool {
    let mut tool = Tool::standard();
    tool.parts.backends.push(&Dummy);
    tool
}

fn run(project: &Project, options: &[&str]) -> ExitCode {
    let file = project.path().join("variants.toml");
    let words = [
        "isar-build-all",
        "--file",
        file.to_str().unwrap(),
        "--machine",
        "qemuarm64",
    ];
    let words = words.iter().chain(options);
    tool().main(words.map(Into::into))
}

fn registered() -> Project {
    let project = Project::new();
    project.write("artifacts/qemuarm64/isar-base-qemuarm64.wic", "an image");
    let code = run(&project, &["--hash-only", "--store", "dummy"]);
    assert_eq!(code, ExitCode::SUCCESS);
    project
}

fn entry(project: &Project) -> PathBuf {
    project.path().join("artifacts/qemuarm64").join(IMAGE)
}

/// The hash of the image in the hashes file.
fn hash(project: &Project) -> [u8; 32] {
    let text = project.read("artifact-hashes.nix");
    let file = parse(&text).unwrap();
    file.get(IMAGE).unwrap()
}

#[test]
fn an_added_store_is_chosen_by_its_word_and_a_run_registers_in_it() {
    let project = registered();

    let target = fs::read_link(entry(&project)).unwrap();
    assert!(target.starts_with(project.path().join(".isar-build-all/shelf")));
    assert_eq!(fs::read_to_string(target).unwrap(), "an image");
    assert!(was_called("insert") && was_called("link"));
    assert_ne!(
        run(&project, &["--dry-run", "--store", "glass"]),
        ExitCode::SUCCESS,
        "a store that was not added"
    );
}

#[test]
fn variants_toml_can_name_an_added_store() {
    let project = Project::new();
    let text = project.read("variants.toml");
    let settings = |store| format!("{text}\n[settings]\nstore = \"{store}\"\n");

    project.write("variants.toml", &settings("dummy"));
    assert_eq!(run(&project, &["--dry-run"]), ExitCode::SUCCESS);

    project.write("variants.toml", &settings("glass"));
    assert_eq!(run(&project, &["--dry-run"]), ExitCode::from(3));
}

#[test]
fn the_next_start_recovers_an_interrupted_registration_in_an_added_store() {
    let project = registered();
    let link = entry(&project);
    let before = fs::read_link(&link).unwrap();
    // A run that died before it wrote the hash of a second image.
    let shelf = project.path().join(".isar-build-all/shelf");
    let store_path = shelf.join("new").join(IMAGE);
    fs::create_dir_all(store_path.parent().unwrap()).unwrap();
    fs::write(&store_path, "another image").unwrap();
    let stamp = Stamp::of(&store_path.symlink_metadata().unwrap());
    let journal = Journal::open(&project.path().join(".isar-build-all/journal.jsonl")).unwrap();
    journal
        .intend(&Entry::Registering(Registration {
            run: "dead".to_owned(),
            number: 1,
            hashes_file: project.path().join("artifact-hashes.nix"),
            store: StorePlace::new("dummy", &[("shelf", &shelf)]),
            variants: vec![IntendedVariant {
                key: key(),
                names: vec![IMAGE.to_owned()],
                artifacts: vec![IntendedArtifact {
                    kind: "wic".to_owned(),
                    unique_name: IMAGE.to_owned(),
                    deploy_name: "image-qemuarm64.wic".to_owned(),
                    bytes: stamp.bytes,
                    nix32: nix32::encode(&[7; 32]),
                    old_nix32: Some(nix32::encode(&hash(&project))),
                    store_path: store_path.clone(),
                    link: link.clone(),
                    before: Before::Link {
                        target: before.clone(),
                    },
                    source: stamp,
                }],
            }],
        }))
        .unwrap();
    drop(journal);
    DummyStore::point(&store_path, &link);

    // The id of a run contains its second and the process.
    std::thread::sleep(Duration::from_millis(1100));
    let code = run(&project, &["--hash-only", "--store", "local"]);

    assert!(was_called("reopen") && was_called("turn_back"));
    assert_eq!(code, ExitCode::SUCCESS);
    let recovered = fs::read_to_string(&link).unwrap();
    assert_eq!(recovered, "an image");
}

#[test]
fn the_skip_decision_asks_an_added_store_for_its_roots() {
    let project = registered();
    let settings = Settings::resolve(&LayerInput::of(project.path())).unwrap();
    let store_path = fs::read_link(entry(&project)).unwrap();
    let image = RegisteredFile {
        sha256: hash(&project)
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
        stamp: Stamp::of(&store_path.symlink_metadata().unwrap()),
        store_path,
    };
    let check = |store: String, backends: &[&'static dyn Backend]| {
        let record = KeyRecord {
            key: "k".to_owned(),
            unpinned: Vec::new(),
            artifacts: vec![KeyArtifact {
                unique_name: IMAGE.to_owned(),
                made: Some(image.clone()),
            }],
            store,
            run: "r".to_owned(),
            started: jiff::Timestamp::UNIX_EPOCH,
        };
        let checked = Proofs::new(&settings, backends, false).check(&variant(), &record);
        checked.map(|_| ())
    };
    let backends = tool().parts.backends;

    let rooted = format!("dummy {}", entry(&project).display());
    assert_eq!(check(rooted.clone(), &backends), Ok(()));
    let refused = check("dummy /elsewhere".to_owned(), &backends).unwrap_err();
    assert!(
        refused.ends_with("is not a root of the dummy's collector"),
        "{refused}"
    );
    let unknown = check(rooted, &Tool::standard().parts.backends).unwrap_err();
    assert!(
        unknown.contains("unknown kind of store: dummy"),
        "{unknown}"
    );
}

fn key() -> VariantKey {
    VariantKey {
        machine: "qemuarm64".to_owned(),
        id: "base".to_owned(),
    }
}

fn variant() -> Variant {
    Variant {
        key: key(),
        arch: Arch::Arm64,
        axes: Vec::new(),
        kas: Vec::new(),
        attr_path: Vec::new(),
        artifacts: vec![Artifact {
            kind: "wic".to_owned(),
            unique_name: IMAGE.to_owned(),
            deploy_name: "image-qemuarm64.wic".to_owned(),
            attr: "wic".to_owned(),
            optional: false,
            unique: false,
            format: Format::Any,
            products: Vec::new(),
        }],
    }
}
