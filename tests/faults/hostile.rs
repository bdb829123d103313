//! Deploy directories and surroundings that are against us: directories that nobody may write to, files
//! that vanish, grow and shrink while they are read, names that mean something to a shell or a terminal.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use isar_build_all::base::hex;
use sha2::{Digest as _, Sha256};

use crate::world::{World, Wrong};
use support::project::{Project, Said};

const ONE: [&str; 2] = ["--machine", "qemuarm64"];
const WIC: &str = "image-qemuarm64.wic";
const DEPLOYED: &str = ".isar-build-all/build/qemuarm64/base/build/tmp/deploy/images/qemuarm64";

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_may_not_be_written_to_changes_nothing_and_is_named() {
    for dir in [
        "artifacts/qemuarm64",
        ".isar-build-all/store",
        ".isar-build-all",
        ".",
    ] {
        let world = World::new();
        assert_eq!(world.run(&ONE).code, Some(0));
        let hashes = world.project.read("artifact-hashes.nix");
        let path = world.path(dir).canonicalize().unwrap();
        mode(&path, 0o555);
        let said = world.run(&ONE);
        mode(&path, 0o755);
        assert!(matches!(said.code, Some(4 | 10)), "{dir}: {:?}", said.code);
        let is_named = ["Permission denied", "a readonly database"]
            .iter()
            .any(|why| said.stderr.contains(why));
        assert!(is_named, "{dir}: {}", said.stderr);
        assert!(said.stderr.contains("hint: "), "{dir}: {}", said.stderr);
        assert_eq!(world.project.read("artifact-hashes.nix"), hashes, "{dir}");
        let recovered = world.run(&["recover"]);
        assert_eq!(recovered.code, Some(0), "{dir}: {}", recovered.stdout);
        assert_eq!(world.check(), Wrong::default(), "{dir}");
        assert_eq!(world.run(&ONE).code, Some(0), "{dir}");
        assert_eq!(world.check(), Wrong::default(), "{dir}");
    }
}

/// What a build deploys when a script of the test goes on with it after its end.
fn restless(script: &str) -> (Project, Said) {
    let project = Project::new();
    project.instead(
        "qemuarm64.base",
        &format!(
            "deploy; wic=$place/{WIC}; head -c 30000000 /dev/urandom > \"$wic\"; \
             (for i in $(seq 400); do {script}; sleep 0.005; done) > /dev/null 2>&1 &"
        ),
    );
    let said = project.run(&ONE);
    (project, said)
}

#[test]
fn what_grows_or_shrinks_while_it_is_read_is_refused() {
    for script in ["echo more >> \"$wic\"", "truncate -s -1000 \"$wic\""] {
        let (project, said) = restless(script);
        assert_eq!(said.code, Some(10), "{script}: {}", said.stderr);
        assert!(said.stderr.contains("changed"), "{script}: {}", said.stderr);
        assert!(project.hashed().is_empty());
        assert!(
            !project
                .path()
                .join("artifacts/qemuarm64/.captured")
                .exists()
        );
    }
}

#[test]
fn what_vanishes_is_missed_or_was_whole() {
    let (mut missed, mut whole) = (0, 0);
    for wait in ["0", "0.01", "0.03", "0.1", "0.3"] {
        let project = Project::new();
        project.instead(
            "qemuarm64.base",
            &format!(
                "deploy; wic=$place/{WIC}; head -c 30000000 /dev/urandom > \"$wic\"; \
                 sha256sum \"$wic\" > \"$FAKE_DIR/sum\"; \
                 (sleep {wait}; rm \"$wic\") > /dev/null 2>&1 &"
            ),
        );
        let said = project.run(&ONE);
        if said.code == Some(0) {
            whole += 1;
            let entry = project
                .path()
                .join("artifacts/qemuarm64/isar-base-qemuarm64.wic");
            let is: [u8; 32] = Sha256::digest(fs::read(entry).unwrap()).into();
            let is = hex::encode(&is);
            assert!(project.read("fake/sum").starts_with(&is));
        } else {
            missed += 1;
            assert_eq!(said.code, Some(10), "{}", said.stderr);
            assert!(project.hashed().is_empty());
        }
    }
    println!("{missed} missed, {whole} whole");
    assert_eq!(missed + whole, 5);
}

#[test]
fn names_in_the_deploy_directory_mean_nothing_to_us() {
    let project = Project::new();
    project.instead(
        "qemuarm64.base",
        "deploy; mv \"$place\"/image-qemuarm64.wic \"$place/image-qemuarm64.wix\"",
    );
    assert_eq!(project.run(&ONE).code, Some(10));
    let place = project.path().join(DEPLOYED);
    let long = "image-qemuarm64.wic".to_owned() + &"x".repeat(200);
    for name in [
        &b"image-qemuarm64.wic\n"[..],
        b"image-qemuarm64.wi\x1b[2Jc",
        b"image-qemuarm64.\xff\xfewic",
        b"-rf",
        b"$(touch pwned)",
        b"`touch pwned`;touch pwned",
        b"image-qemuarm64.wic ",
        b"::error::x",
        long.as_bytes(),
    ] {
        fs::write(place.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    project.instead("qemuarm64.base", ":");
    let said = project.said(
        project
            .command(&ONE)
            .env("ISAR_BUILD_ALL_SKIP_GATES", "contamination"),
    );
    assert_eq!(said.code, Some(10), "{}", said.stderr);
    assert!(
        said.stderr.contains("has no image-qemuarm64.wic"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains('\x1b'), "{:?}", said.stderr);
    assert!(!said.stderr.contains("\n::error::"), "{:?}", said.stderr);
    assert!(project.hashed().is_empty());
    assert!(!project.path().join("pwned").exists());
}

#[test]
fn a_deploy_directory_that_leads_elsewhere_is_not_followed_to_what_is_not_ours() {
    let project = Project::new();
    // The image has the name of a file that everybody may read.
    let matrix = project.read("variants.toml");
    project.write(
        "variants.toml",
        &matrix.replace(
            "format = \"any\" }\nbmap",
            "format = \"any\", deploy_name = \"passwd\" }\nbmap",
        ),
    );
    project.instead(
        "qemuarm64.base",
        "mkdir -p \"$KAS_BUILD_DIR/tmp/deploy/images\"; \
         ln -s /etc \"$KAS_BUILD_DIR/tmp/deploy/images/qemuarm64\"",
    );
    let said = project.run(&ONE);
    assert_eq!(said.code, Some(10), "{}", said.stderr);
    assert!(project.hashed().is_empty());
}
