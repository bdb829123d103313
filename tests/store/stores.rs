//! The stores, Nix's through its real programs.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use isar_build_all::base::nix32;
use isar_build_all::event::ArtifactOrigin;
use isar_build_all::store::copy::hash;
use isar_build_all::store::hashing::Want;
use isar_build_all::store::path::{NIX_STORE_DIR, flat_base_name};
use isar_build_all::store::{Captured, LocalStore, NixStore, Store};
use support::PrivateNix;
use support::names_in;

fn nix_store(nix: &PrivateNix) -> NixStore {
    NixStore {
        store_dir: nix.store_dir(),
        state_dir: nix.state_dir(),
        env: nix.env(),
        ..NixStore::new("nix-store".into())
    }
}

/// A staged capture with this content.
fn captured(dir: &Path, name: &str, content: &[u8]) -> Captured {
    let staging = dir.join("staging");
    fs::create_dir_all(&staging).unwrap();
    let path = staging.join(name);
    let _ = fs::remove_file(&path);
    fs::write(&path, content).unwrap();
    of_file(&path, name, true)
}

fn of_file(path: &Path, name: &str, staged: bool) -> Captured {
    let hashed = hash(path, Want::FlatAndNar, &|| false).unwrap();
    Captured {
        kind: "wic".to_owned(),
        unique_name: name.to_owned(),
        deploy_name: "image.wic".to_owned(),
        path: path.to_owned(),
        bytes: hashed.stamp.bytes,
        sha256: hashed.sums.sha256,
        nar_sha256: hashed.sums.nar_sha256,
        staged,
        source: hashed.stamp,
        added: None,
    }
}

fn output(dir: &Path) -> PathBuf {
    let output = dir.join("artifacts");
    fs::create_dir_all(&output).unwrap();
    output
}

#[test]
fn nix_agrees_with_our_hashes_and_paths() {
    let nix = PrivateNix::new();
    let store = Store::from(nix_store(&nix));
    let output = output(nix.dir());
    for (name, content) in [
        ("isar-base-qemuamd64.wic", &b"hello\n"[..]),
        ("a", b"12345678"),
        ("A-z_0.9+?=x", &[0; 100_000]),
        (&"n".repeat(211), b"longest"),
    ] {
        let captured = captured(nix.dir(), name, content);
        let link = output.join(name);
        let added = store.add(&captured, &link).unwrap();
        assert_eq!(added.how, ArtifactOrigin::Added);
        let file = captured.path.to_str().unwrap();
        let hash = nix.output("nix-hash", ["--type", "sha256", "--flat", "--base32", file]);
        assert_eq!(hash, nix32::encode(&captured.sha256));
        let path = nix.output("nix-store", ["--print-fixed-path", "sha256", &hash, name]);
        assert_eq!(Path::new(&path), added.store_path);
        assert_eq!(fs::read_link(&link).unwrap(), added.store_path);
        assert_eq!(fs::read(&link).unwrap(), content);
        assert!(nix.succeeds("nix-store", ["--verify-path", &path]));
        assert_eq!(
            store.add(&captured, &link).unwrap().how,
            ArtifactOrigin::AlreadyValid
        );
    }
}

/// As the initial RAM disks of ISAR are, and as a script that called `nix-store --add-fixed` left them.
#[test]
fn what_nix_has_as_an_executable_file_is_the_same_file() {
    let nix = PrivateNix::new();
    let store = Store::from(nix_store(&nix));
    let output = output(nix.dir());
    let capture = captured(nix.dir(), "isar-base-initrd.img", b"070701");
    fs::set_permissions(&capture.path, fs::Permissions::from_mode(0o755)).unwrap();
    let file = capture.path.to_str().unwrap();
    let path = nix.output("nix-store", ["--add-fixed", "sha256", file]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o555);
    let link = output.join("isar-base-initrd.img");
    let added = store.add(&capture, &link).unwrap();
    assert_eq!(added.how, ArtifactOrigin::AlreadyValid);
    assert_eq!(added.store_path, Path::new(&path));
    assert!(nix.succeeds("nix-store", ["--verify-path", &path]));

    // Other bytes of the same length are another file, executable or not.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&path, b"070702").unwrap();
    let error = store.add(&capture, &link).unwrap_err();
    assert!(error.to_string().contains("another hash"), "{error}");
}

#[test]
fn the_output_entry_is_the_gc_root() {
    let nix = PrivateNix::new();
    let store = Store::from(nix_store(&nix));
    let link = output(nix.dir()).join("i.wic");
    let old = store
        .add(&captured(nix.dir(), "i.wic", b"old"), &link)
        .unwrap();
    nix.output("nix-store", ["--gc"]);
    assert_eq!(fs::read(&link).unwrap(), b"old");
    let new = store
        .add(&captured(nix.dir(), "i.wic", b"new"), &link)
        .unwrap();
    nix.output("nix-store", ["--gc"]);
    assert_eq!(fs::read(&link).unwrap(), b"new");
    assert!(new.store_path.exists() && !old.store_path.exists());
}

#[test]
fn the_collector_waits_while_we_add() {
    let nix = PrivateNix::new();
    let store = Store::from(nix_store(&nix));
    let output = output(nix.dir());
    store
        .add(&captured(nix.dir(), "first", b"1"), &output.join("first"))
        .unwrap();

    let hold = store.hold().unwrap();
    let second = captured(nix.dir(), "second", b"2");
    let added = store.insert(&hold, &second).unwrap();
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| nix.output("nix-store", ["--gc"]));
        std::thread::sleep(Duration::from_millis(400));
        assert!(!collector.is_finished());
        assert!(added.store_path.exists());
        store.link(&hold, &added, &output.join("second")).unwrap();
        drop(hold);
        collector.join().unwrap();
    });
    assert_eq!(fs::read(output.join("second")).unwrap(), b"2");
}

#[test]
fn what_a_dead_process_left_at_the_path_is_repaired() {
    let nix = PrivateNix::new();
    let store = Store::from(nix_store(&nix));
    let captured = captured(nix.dir(), "i.wic", b"whole content");
    let path = store.path_of(&captured.sha256, "i.wic").unwrap();
    fs::write(&path, "whole").unwrap();
    let link = output(nix.dir()).join("i.wic");
    assert_eq!(
        store.add(&captured, &link).unwrap().how,
        ArtifactOrigin::Added
    );
    assert_eq!(fs::read(&link).unwrap(), b"whole content");
}

#[test]
fn a_valid_path_with_other_content_is_refused() {
    let nix = PrivateNix::new();
    let store = Store::from(nix_store(&nix));
    let captured = captured(nix.dir(), "i.wic", b"content");
    let link = output(nix.dir()).join("i.wic");
    let path = store.add(&captured, &link).unwrap().store_path;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, "con").unwrap();
    let error = store.add(&captured, &link).unwrap_err();
    insta::assert_snapshot!(shown(&nix, &format!("{error}\nhint: {}", error.hint().unwrap())), @"
    DIR/store/HASH-i.wic is valid in the store, but what lies there is 3 bytes instead of 7
    hint: take it away and run again: nix-store --delete --ignore-liveness DIR/store/HASH-i.wic
    ");
}

fn shown(nix: &PrivateNix, text: &str) -> String {
    let text = text
        .replace(nix.dir().to_str().unwrap(), "DIR")
        .replace(&format!("{}/", support::root().display()), "");
    let mut out = String::new();
    for (index, part) in text.split("DIR/store/").enumerate() {
        // The store directory, which is another in each run, goes into the hash of a path.
        out += if index == 0 { part } else { "DIR/store/HASH" };
        if index > 0 {
            out += part.get(32..).unwrap_or_default();
        }
    }
    out
}

/// `nix-store`, but where the first argument is `word` it does `instead`.
fn fake(nix: &PrivateNix, word: &str, instead: &str) -> Store {
    let mut store = nix_store(nix);
    store.program = support::root().join("tests/support/fakes/nix-store-that-fails");
    store.env.push(("FAKE_ON".into(), word.into()));
    store.env.push(("FAKE_DO".into(), instead.into()));
    Store::from(store)
}

#[test]
fn what_goes_wrong_with_nix_is_said() {
    let nix = PrivateNix::new();
    let link = output(nix.dir()).join("i.wic");
    let missing = Store::from(NixStore {
        program: "/nonexistent/nix-store".into(),
        ..nix_store(&nix)
    });
    let full = "echo 'warning: noise' >&2; echo 'error: writing to file: No space left on device' >&2; exit 1";
    let cases = [
        missing,
        fake(
            &nix,
            "--check-validity",
            "echo 'error: cannot open connection to database' >&2; exit 1",
        ),
        fake(&nix, "--add-fixed", full),
        fake(
            &nix,
            "--add-fixed",
            "echo /nix/store/00000000000000000000000000000000-i.wic; exit 0",
        ),
        fake(
            &nix,
            "-q",
            "echo sha256:0000000000000000000000000000000000000000000000000000; exit 0",
        ),
        fake(&nix, "-q", "echo md5:abc; exit 0"),
        fake(
            &nix,
            "--realise",
            "echo 'error: path is not valid' >&2; exit 1",
        ),
    ];
    let mut out = String::new();
    let captured = captured(nix.dir(), "i.wic", b"content");
    for store in cases {
        let error = store.add(&captured, &link).unwrap_err();
        out += &format!("{error}\n    hint: {}\n", error.hint().unwrap_or_default());
    }
    let misnamed = Captured {
        unique_name: "other.wic".to_owned(),
        ..captured
    };
    let store = Store::from(nix_store(&nix));
    out += &store.add(&misnamed, &link).unwrap_err().to_string();
    insta::assert_snapshot!(shown(&nix, &out), @"
    cannot start /nonexistent/nix-store: No such file or directory (os error 2)
        hint: install Nix (apt install nix-bin), or use --store local
    `tests/support/fakes/nix-store-that-fails --check-validity --print-invalid DIR/store/HASH-i.wic` failed (exit status: 1): error: cannot open connection to database
        hint: 
    `tests/support/fakes/nix-store-that-fails --add-fixed sha256 DIR/staging/i.wic` failed (exit status: 1): error: writing to file: No space left on device
        hint: make room in the store: nix-collect-garbage, df -h /nix/store
    the store has i.wic as /nix/store/00000000000000000000000000000000-i.wic, but its hash says DIR/store/HASH-i.wic
        hint: something wrote to the captured file; end what does and run again
    the store has another hash for DIR/store/HASH-i.wic than the file: 0000000000000000000000000000000000000000000000000000, not 11wa1rsi75lkqc5qnz4dglw9d2brxlcp849fg77rjlkzf7drynp2
        hint: take it away and run again: nix-store --delete --ignore-liveness DIR/store/HASH-i.wic
    `tests/support/fakes/nix-store-that-fails -q --hash DIR/store/HASH-i.wic` printed `md5:abc`, which is not a SHA-256 in Nix base32
        hint: 
    `tests/support/fakes/nix-store-that-fails --realise DIR/store/HASH-i.wic --add-root DIR/artifacts/i.wic --indirect` failed (exit status: 1): error: path is not valid
        hint: 
    DIR/staging/i.wic would be added under its own name, not as other.wic
    ");
    assert!(!link.exists());
}

#[test]
fn what_is_at_the_link_is_not_lost() {
    let nix = PrivateNix::new();
    let store = Store::from(nix_store(&nix));
    let broken = fake(&nix, "--realise", "echo 'error: no' >&2; exit 1");
    let output = output(nix.dir());
    let link = output.join("i.wic");
    let captured = captured(nix.dir(), "i.wic", b"new");

    fs::write(&link, "a file").unwrap();
    broken.add(&captured, &link).unwrap_err();
    assert_eq!(fs::read(&link).unwrap(), b"a file");
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(names_in(&output), ["i.wic"]);
    store.add(&captured, &link).unwrap();
    assert_eq!(fs::read(&link).unwrap(), b"new");
    assert_eq!(names_in(&output), ["i.wic"]);

    fs::remove_file(&link).unwrap();
    symlink("/elsewhere/i.wic", &link).unwrap();
    broken.add(&captured, &link).unwrap_err();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("/elsewhere/i.wic"));
    store.add(&captured, &link).unwrap();
    assert_eq!(fs::read(&link).unwrap(), b"new");

    fs::remove_file(&link).unwrap();
    fs::create_dir(&link).unwrap();
    let error = store.add(&captured, &link).unwrap_err();
    insta::assert_snapshot!(shown(&nix, &format!("{error}\nhint: {}", error.hint().unwrap())), @"
    DIR/artifacts/i.wic is a directory; the output is to be there
    hint: move it away: mv DIR/artifacts/i.wic DIR/artifacts/i.wic.old
    ");
}

#[test]
fn a_file_at_the_link_itself_can_be_registered() {
    let nix = PrivateNix::new();
    let dir = tempfile::tempdir().unwrap();
    for store in [
        Store::from(nix_store(&nix)),
        Store::from(LocalStore::new(dir.path().join("s"))),
    ] {
        let link = output(dir.path()).join("i.wic");
        let _ = fs::remove_file(&link);
        fs::write(&link, "by hand").unwrap();
        let added = store.add(&of_file(&link, "i.wic", false), &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), added.store_path);
        assert_eq!(fs::read(&link).unwrap(), b"by hand");
    }
}

#[test]
fn the_local_store_has_nixs_names() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::from(LocalStore::new(dir.path().join("store")));
    let link = output(dir.path()).join("i.wic");
    let one = captured(dir.path(), "i.wic", b"one");
    let added = store.add(&one, &link).unwrap();
    assert_eq!(added.how, ArtifactOrigin::Added);
    let base = flat_base_name(NIX_STORE_DIR, &one.sha256, "i.wic").unwrap();
    assert_eq!(added.store_path, dir.path().join("store").join(base));
    let metadata = added.store_path.symlink_metadata().unwrap();
    assert!(metadata.is_file());
    assert_eq!(metadata.mode() & 0o7777, 0o444);
    assert_eq!(fs::read(&link).unwrap(), b"one");
    assert_eq!(
        store.add(&one, &link).unwrap().how,
        ArtifactOrigin::AlreadyValid
    );

    let two = captured(dir.path(), "i.wic", b"two");
    store.add(&two, &link).unwrap();
    assert_eq!(fs::read(&link).unwrap(), b"two");
    assert_eq!(fs::read(&added.store_path).unwrap(), b"one");
    assert_eq!(names_in(&dir.path().join("store")).len(), 2);
}

#[test]
fn the_local_store_trusts_nothing_that_it_has_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::from(LocalStore::new(dir.path().join("store")));
    let link = output(dir.path()).join("i.wic");
    for staged in [true, false] {
        for bad in ["shorter", "same siz", ""] {
            let mut good = captured(dir.path(), "i.wic", b"the good");
            good.staged = staged;
            let path = store.path_of(&good.sha256, "i.wic").unwrap();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = fs::remove_file(&path);
            fs::write(&path, bad).unwrap();
            assert_eq!(store.add(&good, &link).unwrap().how, ArtifactOrigin::Added);
            assert_eq!(fs::read(&link).unwrap(), b"the good");
        }
    }
    let mut changed = captured(dir.path(), "j.wic", b"before");
    changed.staged = false;
    fs::write(&changed.path, "after!").unwrap();
    let error = store.add(&changed, &link).unwrap_err();
    let text = format!("{error}\nhint: {}", error.hint().unwrap());
    insta::assert_snapshot!(text.replace(dir.path().to_str().unwrap(), "DIR"), @"
    DIR/staging/j.wic is not what was captured any more
    hint: something wrote to the captured file; end what does and run again
    ");
    assert_eq!(names_in(&dir.path().join("store")).len(), 1);
    assert_eq!(fs::read(&link).unwrap(), b"the good");
}
