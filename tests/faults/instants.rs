//! Every instant of a registration at which death can come, one after the other: each state is made by
//! hand, with the journal that a run had written by then, and recovered.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use isar_build_all::base::nix32;
use isar_build_all::fs::stamp::Stamp;
use isar_build_all::hashes_file::parse;
use isar_build_all::matrix::VariantKey;
use isar_build_all::state::journal::{
    Entry, IntendedArtifact, IntendedVariant, Journal, Registration, StorePlace,
};
use isar_build_all::state::records::Records;
use isar_build_all::store::entries::{Before, kept};

use crate::world::{World, Wrong};

const NAMES: [&str; 2] = ["isar-base-qemuamd64.wic", "isar-base-qemuamd64.wic.bmap"];

/// What a registration leaves: the hashes file, and where the entries point.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    hashes: String,
    targets: Vec<Option<PathBuf>>,
}

impl State {
    fn of(world: &World) -> State {
        State {
            hashes: fs::read_to_string(world.path("artifact-hashes.nix")).unwrap_or_default(),
            targets: NAMES
                .iter()
                .map(|name| fs::read_link(entry(world, name)).ok())
                .collect(),
        }
    }

    fn nix32(&self, name: &str) -> Option<String> {
        let file = parse(&self.hashes).ok()?;
        file.get(name).map(|hash| nix32::encode(&hash))
    }
}

fn entry(world: &World, name: &str) -> PathBuf {
    world.path("artifacts/qemuamd64").join(name)
}

fn turn(world: &World, name: &str, target: Option<&PathBuf>) {
    let _ = fs::remove_file(entry(world, name));
    if let Some(target) = target {
        symlink(target, entry(world, name)).unwrap();
    }
}

fn write_hashes(world: &World, text: &str) {
    if text.is_empty() {
        let _ = fs::remove_file(world.path("artifact-hashes.nix"));
    } else {
        world.project.write("artifact-hashes.nix", text);
    }
}

/// The journal of a run that was about to go from one state to the other.
fn journal(world: &World, before: &State, after: &State, was: impl Fn(usize) -> Before) {
    let artifacts = NAMES
        .iter()
        .enumerate()
        .map(|(index, name)| IntendedArtifact {
            kind: "wic".to_owned(),
            unique_name: (*name).to_owned(),
            deploy_name: "image".to_owned(),
            bytes: 1,
            nix32: after.nix32(name).unwrap(),
            old_nix32: before.nix32(name),
            store_path: after.targets[index].clone().unwrap(),
            link: entry(world, name),
            before: was(index),
            source: Stamp {
                device: 1,
                inode: 1,
                bytes: 1,
                mtime: (0, 0),
                ctime: (0, 0),
            },
        })
        .collect();
    let journal = Journal::open(&world.path(".isar-build-all/journal.jsonl")).unwrap();
    journal
        .intend(&Entry::Registering(Registration {
            run: "dead".to_owned(),
            number: 1,
            hashes_file: world.path("artifact-hashes.nix"),
            store: StorePlace::new("local", &[("dir", &world.path(".isar-build-all/store"))]),
            variants: vec![IntendedVariant {
                key: VariantKey {
                    machine: "qemuamd64".to_owned(),
                    id: "base".to_owned(),
                },
                names: NAMES.map(str::to_owned).to_vec(),
                artifacts,
            }],
        }))
        .unwrap();
}

/// A world with the states before and after its second registration.
fn two_states() -> (World, State, State) {
    two_states_of(World::new())
}

fn two_states_of(world: World) -> (World, State, State) {
    let build = || {
        let said = world.run(&["--variant", "qemuamd64/base"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        State::of(&world)
    };
    let (before, after) = (build(), build());
    assert_ne!(before, after);
    (world, before, after)
}

#[test]
fn before_the_hashes_are_replaced_it_is_rolled_back_and_after_it_finished() {
    let (world, first, after) = two_states();
    let nothing = State {
        hashes: String::new(),
        targets: vec![None, None],
    };
    for before in [&first, &nothing] {
        let was = |index: usize| match &before.targets[index] {
            Some(target) => Before::Link {
                target: target.clone(),
            },
            None => Before::Nothing,
        };
        for (turned, is_replaced) in [(0, false), (1, false), (2, false), (2, true)] {
            for (index, name) in NAMES.iter().enumerate() {
                let state = if index < turned { &after } else { before };
                turn(&world, name, state.targets[index].as_ref());
            }
            let expected = if is_replaced { &after } else { before };
            write_hashes(&world, &expected.hashes);
            journal(&world, before, &after, was);
            let at = format!("{turned} entries turned, hashes replaced: {is_replaced}");
            let plan = world.run(&["recover", "--dry-run"]).stdout;
            let said = world.run(&["recover"]);
            assert_eq!(said.code, Some(0), "{at}: {}", said.stdout);
            let (would, did) = if is_replaced {
                ("would finish the", "finished the")
            } else {
                ("would roll back the", "rolled back the")
            };
            assert!(plan.contains(would), "{at}: {plan}");
            assert!(said.stdout.contains(did), "{at}: {}", said.stdout);
            assert_eq!(State::of(&world), *expected, "{at}");
            assert_eq!(world.check(), Wrong::default(), "{at}");
        }
    }
}

#[test]
fn a_file_in_the_entrys_place_comes_back() {
    let (world, _, after) = two_states();
    write_hashes(&world, "");
    for name in NAMES {
        fs::write(kept(&entry(&world, name)), "the script's").unwrap();
    }
    journal(&world, &after, &after, |_| Before::File);
    let said = world.run(&["recover"]);
    assert!(said.stdout.contains("rolled back"), "{}", said.stdout);
    for name in NAMES {
        let entry = entry(&world, name);
        assert!(!entry.is_symlink());
        assert_eq!(fs::read_to_string(entry).unwrap(), "the script's");
    }
}

#[test]
fn what_cannot_go_back_because_the_old_is_collected_goes_on() {
    let (world, before, after) = two_states();
    write_hashes(&world, &before.hashes);
    journal(&world, &before, &after, |index| Before::Link {
        target: before.targets[index].clone().unwrap(),
    });
    fs::remove_file(before.targets[0].as_ref().unwrap()).unwrap();
    let said = world.run(&["recover"]);
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    assert!(
        said.stdout.contains("no longer in the store"),
        "{}",
        said.stdout
    );
    assert_eq!(State::of(&world), after);
    assert_eq!(world.check(), Wrong::default());
}

#[test]
fn a_hashes_file_that_cannot_be_read_is_exit_10_and_settled_once_it_can() {
    let (world, before, after) = two_states();
    journal(&world, &before, &after, |index| Before::Link {
        target: before.targets[index].clone().unwrap(),
    });
    fs::remove_file(world.path("artifact-hashes.nix")).unwrap();
    fs::create_dir(world.path("artifact-hashes.nix")).unwrap();
    let said = world.run(&["recover"]);
    assert_eq!(said.code, Some(10), "{}", said.stdout);
    assert!(said.stdout.contains("is half done"), "{}", said.stdout);
    fs::remove_dir(world.path("artifact-hashes.nix")).unwrap();
    write_hashes(&world, &after.hashes);
    let said = world.run(&["--machine", "qemuarm64"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("recovered from an earlier run: finished the registration"),
        "{}",
        said.stderr
    );
    assert_eq!(world.check(), Wrong::default());
}

#[test]
fn a_hashes_file_in_the_middle_of_a_merge_decides_nothing() {
    let (world, before, after) = two_states();
    journal(&world, &before, &after, |index| Before::Link {
        target: before.targets[index].clone().unwrap(),
    });
    let merging = format!(
        "<<<<<<< ours\n{}=======\n{}>>>>>>> theirs\n",
        after.hashes, before.hashes
    );
    world.project.write("artifact-hashes.nix", &merging);
    let said = world.run(&["recover"]);
    assert_eq!(said.code, Some(10), "{}", said.stdout);
    assert!(said.stdout.contains("is half done"), "{}", said.stdout);
    // The new files stay where the hashes may yet name them.
    assert_eq!(State::of(&world).targets, after.targets);
    write_hashes(&world, &after.hashes);
    let said = world.run(&["recover"]);
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    assert!(said.stdout.contains("finished the"), "{}", said.stdout);
    assert_eq!(State::of(&world), after);
    assert_eq!(world.check(), Wrong::default());
}

#[test]
fn what_was_made_of_images_that_were_replaced_goes() {
    let (world, before, after) = two_states_of(World::new().packed());
    let made = entry(&world, "isar-base-qemuamd64.wic.zst");
    assert!(made.exists());
    // As when it died before what was made of the new image came to its place.
    let records = Records::open(&world.path(".isar-build-all/records.sqlite")).unwrap();
    let key = VariantKey {
        machine: "qemuamd64".to_owned(),
        id: "base".to_owned(),
    };
    let mut products = records.products(&key).unwrap();
    assert_eq!(products.len(), 1, "the build deploys the map");
    products[0].of = "0".repeat(64);
    records.record_products(&key, &products).unwrap();
    journal(&world, &before, &after, |index| Before::Link {
        target: before.targets[index].clone().unwrap(),
    });
    let said = world.run(&["recover"]);
    assert!(said.stdout.contains("finished the"), "{}", said.stdout);
    assert_eq!(State::of(&world), after);
    assert!(!made.exists());
    let said = world.run(&["--variant", "qemuamd64/base"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(made.exists());
    assert_eq!(world.check(), Wrong::default());
}
