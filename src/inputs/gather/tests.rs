use tempfile::TempDir;

use crate::inputs::gather::*;
use crate::inputs::key;
use crate::inputs::key::InputClass;
use crate::matrix::VariantKey;
use crate::settings::LayerInput;

const COMMIT: &str = "b90b722fc2666b806a64f0bf5ca0feeb9b6f203b";

/// A project whose kas file includes one of a repository that kas clones.
struct KasProject {
    dir: TempDir,
    settings: Settings,
    environment: Environment,
}

impl KasProject {
    fn new() -> KasProject {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::resolve(&LayerInput::of(dir.path())).unwrap();
        let project = KasProject {
            environment: Environment::new(dir.path(), [("PATH", "/nonexistent")]),
            settings,
            dir,
        };
        let text = format!(
            "header:\n  version: 14\n  includes:\n    - repo: isar\n      file: kas/x.yml\n\
             repos:\n  isar:\n    url: https://x/isar\n    commit: {COMMIT}\n"
        );
        fs::write(project.dir.path().join("a.yml"), text).unwrap();
        project
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

    fn gather(&self) -> GatheredInputs {
        let dir = self.dir.path();
        let kas = kas::read(dir, dir, ["a.yml"]);
        let mut cache = HashCache::in_memory(|| (0, 0));
        Gatherer::new(dir, &self.settings, &self.environment, &mut cache)
            .gather(&KasProject::variant(), &kas, &ToolIdentity::default())
            .unwrap()
    }

    /// Writes a clone where kas would make it, at a commit, with the included file.
    fn clone_at(&self, commit: &str, file: &str) {
        let variant = KasProject::variant();
        let dirs = variant_dirs(&self.settings, "m", "i", variant.arch);
        let clone = dirs.work.join("isar");
        fs::create_dir_all(clone.join(".git")).unwrap();
        fs::create_dir_all(clone.join("kas")).unwrap();
        fs::write(clone.join(".git/HEAD"), commit).unwrap();
        fs::write(clone.join("kas/x.yml"), file).unwrap();
    }
}

fn follows(gathered: &GatheredInputs) -> Vec<&str> {
    gathered
        .unpinned
        .iter()
        .filter(|one| matches!(one, Unpinned::Repository { .. }))
        .map(Unpinned::word)
        .collect()
}

#[test]
fn a_pinned_include_counts_by_its_pin_until_it_is_cloned() {
    let project = KasProject::new();
    let before = project.gather();
    let pin = format!("https://x/isar commit {COMMIT}");
    assert_eq!(before.inputs.includes, [("isar:kas/x.yml".to_owned(), pin)]);
    assert!(before.unknown.includes);
    assert!(follows(&before).is_empty());

    // Once it is cloned, the repositories that it names count too: here an unpinned one.
    let file =
        "header:\n  version: 14\nrepos:\n  other:\n    url: https://x/other\n    branch: next\n";
    project.clone_at(COMMIT, file);
    let after = project.gather();
    assert_eq!(follows(&after), ["other"]);
    let (old, new) = (key::lines(&before.inputs), key::lines(&after.inputs));
    assert!(key::changed_meanwhile(&old, &new, before.unknown).is_empty());

    // A clone at another commit does not count.
    project.clone_at(&COMMIT.replace('b', "c"), file);
    assert!(follows(&project.gather()).is_empty());
}

#[test]
fn kas_files_and_layers_of_a_local_repository_count() {
    let project = KasProject::new();
    let other = project.dir.path().join("other");
    fs::create_dir_all(other.join("kas")).unwrap();
    fs::create_dir_all(other.join("meta")).unwrap();
    fs::write(other.join("kas/x.yml"), "header:\n  version: 14\n").unwrap();
    fs::write(other.join("meta/file"), "1").unwrap();
    let text = format!(
        "header:\n  version: 14\n  includes:\n    - repo: isar\n      file: kas/x.yml\n\
         repos:\n  isar:\n    path: {}\n    layers:\n      meta:\n",
        other.display()
    );
    fs::write(project.dir.path().join("a.yml"), text).unwrap();
    let before = project.gather();
    let names: Vec<&str> = before
        .inputs
        .kas_files
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    // An included file is merged before the file that includes it.
    assert_eq!(names, ["isar:kas/x.yml", "a.yml"]);
    assert_eq!(before.inputs.layers[0].0, "other/meta");
    fs::write(other.join("meta/file"), "2").unwrap();
    fs::write(other.join("kas/x.yml"), "header:\n  version: 15\n").unwrap();
    let changes = key::changes(
        &key::lines(&before.inputs),
        &key::lines(&project.gather().inputs),
    );
    let classes: Vec<InputClass> = changes.iter().map(|change| change.class).collect();
    assert_eq!(classes, [InputClass::KasFile, InputClass::Layer]);
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
fn the_image_name_is_composed_as_in_kas_container() {
    let project = KasProject::new();
    let name = |variables: &[(&str, &str)]| {
        let environment = Environment::new(Path::new("/"), variables.iter().copied());
        image_name(&project.settings, &environment, Some("5.5"))
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
fn a_clone_on_a_patched_branch_counts_as_at_its_pin() {
    let project = KasProject::new();
    let text = fs::read_to_string(project.dir.path().join("a.yml")).unwrap();
    let patch = "    patches:\n      one:\n        repo: this\n        path: one.patch\n  this:\n";
    let head = format!("ref: refs/heads/patched-{COMMIT}\n");
    project.clone_at(&head, "header:\n  version: 14\n");
    assert!(project.gather().unknown.includes, "no patch is declared");
    fs::write(project.dir.path().join("a.yml"), format!("{text}{patch}")).unwrap();
    assert!(!project.gather().unknown.includes);
    project.clone_at(&head.replace('b', "c"), "header:\n  version: 14\n");
    assert!(project.gather().unknown.includes);
}

#[test]
fn a_patch_without_a_repository_uses_that_of_the_defaults() {
    let project = KasProject::new();
    let text = "header:\n  version: 14\ndefaults:\n  repos:\n    patches:\n      repo: this\n\
                repos:\n  this:\n    layers:\n      meta:\n  isar:\n    url: https://x/isar\n    branch: next\n    \
                patches:\n      one:\n        path: one.patch\n";
    fs::write(project.dir.path().join("a.yml"), text).unwrap();
    fs::write(project.dir.path().join("one.patch"), "1").unwrap();
    let before = project.gather();
    fs::write(project.dir.path().join("one.patch"), "2").unwrap();
    let (old, new) = (
        key::lines(&before.inputs),
        key::lines(&project.gather().inputs),
    );
    let changes = key::changes(&old, &new);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].class, InputClass::Patch);
}

#[test]
fn a_container_path_is_mapped_to_the_host_and_a_missing_one_is_an_error() {
    let mut project = KasProject::new();
    let dir = project.dir.path().to_owned();
    let outside = tempfile::tempdir().unwrap();
    project.settings.mounts.value = vec![format!("{}:/further:ro", outside.path().display())];
    let variant = KasProject::variant();
    let work = variant_dirs(&project.settings, "m", "i", variant.arch).work;
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
        let missing = Gatherer::new(&dir, &project.settings, &project.environment, &mut cache)
            .gather(&variant, &kas, &ToolIdentity::default());
        assert!(missing.is_err(), "{inside}");
        fs::create_dir_all(place.join("meta")).unwrap();
        fs::write(place.join("meta/file"), "1").unwrap();
        fs::write(place.join("one.patch"), "1").unwrap();
        let before = project.gather();
        fs::write(place.join("meta/file"), "2").unwrap();
        fs::write(place.join("one.patch"), "2").unwrap();
        let (old, new) = (
            key::lines(&before.inputs),
            key::lines(&project.gather().inputs),
        );
        let classes: Vec<InputClass> = key::changes(&old, &new)
            .iter()
            .map(|change| change.class)
            .collect();
        assert_eq!(classes, [InputClass::Layer, InputClass::Patch], "{inside}");
        fs::remove_dir_all(place.join("meta")).unwrap();
        fs::remove_file(place.join("one.patch")).unwrap();
    }
}
