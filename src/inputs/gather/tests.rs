use tempfile::TempDir;

use super::*;
use crate::model::key::{self, Class};
use crate::model::matrix::VariantKey;
use crate::settings::LayerInput;

const COMMIT: &str = "b90b722fc2666b806a64f0bf5ca0feeb9b6f203b";

/// A project whose kas file includes one of a repository that kas clones.
struct World {
    dir: TempDir,
    settings: Settings,
    environment: Environment,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::resolve(&LayerInput::of(dir.path())).unwrap();
        let world = World {
            environment: Environment::new(dir.path(), [("PATH", "/nonexistent")]),
            settings,
            dir,
        };
        let text = format!(
            "header:\n  version: 14\n  includes:\n    - repo: isar\n      file: kas/x.yml\n\
             repos:\n  isar:\n    url: https://x/isar\n    commit: {COMMIT}\n"
        );
        fs::write(world.dir.path().join("a.yml"), text).unwrap();
        world
    }

    fn variant() -> Variant {
        Variant {
            key: VariantKey {
                machine: "m".into(),
                id: "i".into(),
            },
            arch: Arch::Amd64,
            axes: Vec::new(),
            kas: vec!["a.yml".into()],
            attr_path: Vec::new(),
            artifacts: Vec::new(),
        }
    }

    fn gather(&self) -> Gathered {
        let dir = self.dir.path();
        let kas = kas::read(dir, dir, ["a.yml"]);
        let mut cache = HashCache::in_memory(|| (0, 0));
        Gatherer::new(dir, &self.settings, &self.environment, &mut cache)
            .gather(&World::variant(), &kas, &Tools::default())
            .unwrap()
    }

    /// Puts a clone where kas would, at a commit, with the included file.
    fn clone_at(&self, commit: &str, file: &str) {
        let variant = World::variant();
        let dirs = variant_dirs(&self.settings, "m", "i", variant.arch);
        let clone = dirs.work.join("isar");
        fs::create_dir_all(clone.join(".git")).unwrap();
        fs::create_dir_all(clone.join("kas")).unwrap();
        fs::write(clone.join(".git/HEAD"), commit).unwrap();
        fs::write(clone.join("kas/x.yml"), file).unwrap();
    }
}

fn follows(gathered: &Gathered) -> Vec<&str> {
    gathered
        .unpinned
        .iter()
        .filter(|one| matches!(one, Unpinned::Repository { .. }))
        .map(Unpinned::word)
        .collect()
}

#[test]
fn a_pinned_include_is_known_by_its_pin_until_it_can_be_read() {
    let world = World::new();
    let before = world.gather();
    let pin = format!("https://x/isar commit {COMMIT}");
    assert_eq!(before.inputs.includes, [("isar:kas/x.yml".to_owned(), pin)]);
    assert!(before.unknown.includes);
    assert!(follows(&before).is_empty());

    // What it names is known once it is there: here a repository that nothing pins.
    let file =
        "header:\n  version: 14\nrepos:\n  other:\n    url: https://x/other\n    branch: next\n";
    world.clone_at(COMMIT, file);
    let after = world.gather();
    assert_eq!(follows(&after), ["other"]);
    let (old, new) = (key::lines(&before.inputs), key::lines(&after.inputs));
    assert!(key::changed_meanwhile(&old, &new, before.unknown).is_empty());

    // A clone at another commit is not what the pin means.
    world.clone_at(&COMMIT.replace('b', "c"), file);
    assert!(follows(&world.gather()).is_empty());
}

#[test]
fn a_local_repository_is_read_where_it_lies() {
    let world = World::new();
    let other = world.dir.path().join("other");
    fs::create_dir_all(other.join("kas")).unwrap();
    fs::create_dir_all(other.join("meta")).unwrap();
    fs::write(other.join("kas/x.yml"), "header:\n  version: 14\n").unwrap();
    fs::write(other.join("meta/file"), "1").unwrap();
    let text = format!(
        "header:\n  version: 14\n  includes:\n    - repo: isar\n      file: kas/x.yml\n\
         repos:\n  isar:\n    path: {}\n    layers:\n      meta:\n",
        other.display()
    );
    fs::write(world.dir.path().join("a.yml"), text).unwrap();
    let before = world.gather();
    let names: Vec<&str> = before
        .inputs
        .kas_files
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["a.yml", "isar:kas/x.yml"]);
    assert_eq!(before.inputs.layers[0].0, "other/meta");
    fs::write(other.join("meta/file"), "2").unwrap();
    fs::write(other.join("kas/x.yml"), "header:\n  version: 15\n").unwrap();
    let changes = key::changes(
        &key::lines(&before.inputs),
        &key::lines(&world.gather().inputs),
    );
    let classes: Vec<Class> = changes.iter().map(|change| change.class).collect();
    assert_eq!(classes, [Class::KasFile, Class::Layer]);
}

#[test]
fn a_password_in_a_variable_is_not_shown() {
    let environment = Environment::new(
        Path::new("/"),
        [("http_proxy", "http://me:secret@proxy:3128"), ("TZ", "UTC")],
    );
    let proxy = value(&environment, "http_proxy").unwrap();
    assert!(!proxy.contains("secret") && proxy.len() == 64, "{proxy}");
    assert_eq!(value(&environment, "TZ").as_deref(), Some("UTC"));
}

#[test]
fn the_image_is_the_one_that_kas_container_would_take() {
    let world = World::new();
    let name = |variables: &[(&str, &str)]| {
        let environment = Environment::new(Path::new("/"), variables.iter().copied());
        image_name(&world.settings, &environment, Some("5.5"))
    };
    let parts = [
        ("KAS_IMAGE_VERSION", "5.4"),
        ("KAS_CONTAINER_IMAGE_DISTRO", "debian-trixie"),
    ];
    insta::assert_snapshot!([name(&[]), name(&parts)].join("\n"), @"
    ghcr.io/siemens/kas/kas-isar:5.5
    ghcr.io/siemens/kas/kas-isar:5.4-debian-trixie
    ");
}

#[test]
fn what_kas_has_patched_is_read_where_it_lies() {
    let world = World::new();
    let text = fs::read_to_string(world.dir.path().join("a.yml")).unwrap();
    let patch = "    patches:\n      one:\n        repo: this\n        path: one.patch\n  this:\n";
    let head = format!("ref: refs/heads/patched-{COMMIT}\n");
    world.clone_at(&head, "header:\n  version: 14\n");
    assert!(world.gather().unknown.includes, "nothing patches it");
    fs::write(world.dir.path().join("a.yml"), format!("{text}{patch}")).unwrap();
    assert!(!world.gather().unknown.includes);
    world.clone_at(&head.replace('b', "c"), "header:\n  version: 14\n");
    assert!(world.gather().unknown.includes);
}

#[test]
fn a_patch_without_a_repository_takes_that_of_the_defaults() {
    let world = World::new();
    let text = "header:\n  version: 14\ndefaults:\n  repos:\n    patches:\n      repo: this\n\
                repos:\n  this:\n    layers:\n      meta:\n  isar:\n    url: https://x/isar\n    \
                patches:\n      one:\n        path: one.patch\n";
    fs::write(world.dir.path().join("a.yml"), text).unwrap();
    fs::write(world.dir.path().join("one.patch"), "1").unwrap();
    let before = world.gather();
    fs::write(world.dir.path().join("one.patch"), "2").unwrap();
    let (old, new) = (
        key::lines(&before.inputs),
        key::lines(&world.gather().inputs),
    );
    let changes = key::changes(&old, &new);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].class, Class::Patch);
}

#[test]
fn a_path_of_the_container_is_followed_and_one_that_leads_nowhere_is_no_input() {
    let mut world = World::new();
    let dir = world.dir.path().to_owned();
    let outside = tempfile::tempdir().unwrap();
    world.settings.mounts.value = vec![format!("{}:/further:ro", outside.path().display())];
    let variant = World::variant();
    let work = variant_dirs(&world.settings, "m", "i", variant.arch).work;
    for (inside, place) in [
        ("/repo/sub", dir.join("sub")),
        ("/work/sub", work.join("sub")),
        ("sub", work.join("sub")),
        ("/further", outside.path().to_owned()),
    ] {
        let text = format!(
            "header:\n  version: 14\nrepos:\n  local:\n    path: {inside}\n    layers:\n      meta:\n    \
             patches:\n      one:\n        repo: local\n        path: {inside}/one.patch\n"
        );
        let text = text.replace("path: sub/one.patch", "path: one.patch");
        fs::write(dir.join("a.yml"), text).unwrap();
        let kas = kas::read(&dir, &dir, ["a.yml"]);
        let mut cache = HashCache::in_memory(|| (0, 0));
        let missing = Gatherer::new(&dir, &world.settings, &world.environment, &mut cache).gather(
            &variant,
            &kas,
            &Tools::default(),
        );
        assert!(missing.is_err(), "{inside}");
        fs::create_dir_all(place.join("meta")).unwrap();
        fs::write(place.join("meta/file"), "1").unwrap();
        fs::write(place.join("one.patch"), "1").unwrap();
        let before = world.gather();
        fs::write(place.join("meta/file"), "2").unwrap();
        fs::write(place.join("one.patch"), "2").unwrap();
        let (old, new) = (
            key::lines(&before.inputs),
            key::lines(&world.gather().inputs),
        );
        let classes: Vec<Class> = key::changes(&old, &new)
            .iter()
            .map(|change| change.class)
            .collect();
        assert_eq!(classes, [Class::Layer, Class::Patch], "{inside}");
        fs::remove_dir_all(place.join("meta")).unwrap();
        fs::remove_file(place.join("one.patch")).unwrap();
    }
}
