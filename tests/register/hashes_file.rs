//! The hashes file under many writers, threads and processes, and what is kept of the file.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use isar_build_all::fs::lock::{Holder, LockFile};
use isar_build_all::hashes_file::file::{HashesFile, HashesFileError, WAIT, read_text};
use isar_build_all::hashes_file::{VariantHashes, parse};
use isar_build_all::matrix::VariantKey;

fn holder() -> Holder {
    Holder::this("isar-build-all", jiff::Timestamp::UNIX_EPOCH)
}

fn variant(id: &str, entries: &[(String, [u8; 32])]) -> VariantHashes {
    VariantHashes {
        gone: Vec::new(),
        key: VariantKey {
            machine: "m".to_owned(),
            id: id.to_owned(),
        },
        names: Vec::new(),
        entries: entries.to_vec(),
    }
}

fn set(path: &Path, id: &str, entries: &[(String, [u8; 32])]) -> Result<(), HashesFileError> {
    let file = HashesFile::lock(path, &holder(), WAIT)?;
    let variants = [variant(id, entries)];
    file.write(file.with(&variants)?, &variants)
}

const ROUNDS: u8 = 25;
const WRITERS: u8 = 8;

/// Changes one entry of its own in each round, and adds another.
fn write_many(path: &Path, writer: u8) {
    for round in 0..ROUNDS {
        let entries = [
            (format!("shared-{writer}"), [round; 32]),
            (format!("own-{writer}-{round}"), [writer; 32]),
        ];
        set(path, &format!("w{writer}"), &entries).unwrap();
        // A reader never sees a half.
        let text = read_text(path).unwrap();
        let file = parse(&text).unwrap();
        assert!(
            entries
                .iter()
                .all(|(name, hash)| file.get(name) == Some(*hash))
        );
    }
}

fn check(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let file = parse(&text).unwrap();
    for writer in 0..WRITERS {
        assert_eq!(
            file.get(&format!("shared-{writer}")),
            Some([ROUNDS - 1; 32])
        );
        for round in 0..ROUNDS {
            assert_eq!(
                file.get(&format!("own-{writer}-{round}")),
                Some([writer; 32])
            );
        }
    }
    assert_eq!(
        file.entries().count(),
        usize::from(WRITERS) * (usize::from(ROUNDS) + 1)
    );
    let left: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("nix.") || name.starts_with('.'))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn threads_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hashes.nix");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let path = &path;
            scope.spawn(move || write_many(path, writer));
        }
    });
    check(&path);
}

/// The test starts itself once a writer, in a directory named after the writer, beside the file.
#[test]
fn processes_lose_nothing() {
    let here = std::env::current_dir().unwrap();
    if let Some(writer) = here
        .file_name()
        .and_then(|name| name.to_str()?.strip_prefix("writer-"))
    {
        write_many(Path::new("../hashes.nix"), writer.parse().unwrap());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program: PathBuf = std::env::current_exe().unwrap();
    let children: Vec<Child> = (0..WRITERS)
        .map(|writer| {
            let place = dir.path().join(format!("writer-{writer}"));
            fs::create_dir(&place).unwrap();
            Command::new(&program)
                .args(["--exact", "hashes_file::processes_lose_nothing", "--quiet"])
                .current_dir(place)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    check(&dir.path().join("hashes.nix"));
}

#[test]
fn mode_and_link_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("lib/real.nix");
    fs::create_dir(dir.path().join("lib")).unwrap();
    fs::write(&real, "{\n}\n").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o664)).unwrap();
    let link = dir.path().join("hashes.nix");
    symlink("lib/real.nix", &link).unwrap();
    set(&link, "a", &[("x".to_owned(), [1; 32])]).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(real.metadata().unwrap().mode() & 0o7777, 0o664);
    assert_eq!(
        parse(&fs::read_to_string(&real).unwrap()).unwrap().get("x"),
        Some([1; 32])
    );
    // What is as it should be is not written again.
    let before = real.metadata().unwrap();
    set(&link, "a", &[("x".to_owned(), [1; 32])]).unwrap();
    assert_eq!(real.metadata().unwrap().ino(), before.ino());
    // A link to a file that is not there yet makes it.
    fs::remove_file(&real).unwrap();
    set(&link, "a", &[("x".to_owned(), [1; 32])]).unwrap();
    assert!(real.exists());
}

#[test]
fn what_cannot_be_edited_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hashes.nix");
    let mut out = String::new();
    let mut refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = set(&path, "a", &[("x".to_owned(), [1; 32])]).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        out += &format!("{error}\nhint: {}\n", error.hint().unwrap_or_default());
    };
    refused(b"{\n  a = 1;\n}\n");
    refused(b"{\n# caf\xe9\n}\n");
    let lock = LockFile::acquire(
        &dir.path().join(".hashes.nix.lock"),
        &Holder {
            pid: 1,
            host: "elsewhere".to_owned(),
            command: "isar-build-all --hash-only".to_owned(),
            since: jiff::Timestamp::UNIX_EPOCH,
        },
        Duration::ZERO,
    )
    .unwrap();
    let error = HashesFile::lock(&path, &holder(), Duration::ZERO).unwrap_err();
    out += &format!("{error}\nhint: {}\n", error.hint().unwrap_or_default());
    drop(lock);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = set(&path, "a", &[("x".to_owned(), [1; 32])]).unwrap_err();
    out += &format!("{error}\nhint: {}\n", error.hint().unwrap_or_default());
    insta::assert_snapshot!(out.replace(dir.path().to_str().unwrap(), "DIR"), @r#"
    DIR/hashes.nix is unchanged: line 2: neither an entry, nor a comment, nor a brace: a = 1;
    hint: write entries as `"<name>" = "<52 characters>";`, one a line, and comments with #
    DIR/hashes.nix is unchanged: line 2: not valid UTF-8
    hint: write the line's comment in UTF-8
    DIR/.hashes.nix.lock is held by process 1 on elsewhere for 0 s: isar-build-all --hash-only
    hint: wait for its end, or stop it: ssh elsewhere kill 1
    cannot read DIR/hashes.nix: it is not a regular file
    hint:
    "#);
}

#[test]
fn edits_of_a_program_that_takes_no_lock_are_kept() {
    const EDITS: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("artifact-hashes.nix");
    fs::write(&path, "{\n}\n").unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);

    std::thread::scope(|scope| {
        scope.spawn(|| {
            for edit in 0..EDITS {
                let text = fs::read_to_string(&path).unwrap();
                let edited = text.replacen("{\n", &format!("{{\n  # edit {edit}\n"), 1);
                let new = dir.path().join("new");
                fs::write(&new, edited).unwrap();
                fs::rename(&new, &path).unwrap();
                std::thread::sleep(Duration::from_micros(500));
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut round = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            round += 1;
            let entries = [(format!("own-{round}"), [7; 32])];
            set(&path, "w", &entries).unwrap();
        }
    });

    let text = fs::read_to_string(&path).unwrap();
    let lost: Vec<usize> = (0..EDITS)
        .filter(|edit| !text.contains(&format!("# edit {edit}\n")))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {EDITS} edits lost: {lost:?}",
        lost.len()
    );
    assert!(parse(&text).is_ok());
}

#[test]
fn a_hashes_file_that_is_no_regular_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("artifact-hashes.nix");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());

    for error in [
        isar_build_all::hashes_file::file::check(&path).unwrap_err(),
        set(&path, "w", &[]).unwrap_err(),
        read_text(&path).unwrap_err(),
    ] {
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
