use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::store::chunk::CHUNK;
use crate::store::copy::*;
use crate::store::nar;

const GO_ON: Stop<'static> = &|| false;

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

fn sums(bytes: &[u8]) -> Sums {
    let size = bytes.len() as u64;
    let archive = [nar::header(size, false), bytes.to_vec(), nar::trailer(size)].concat();
    Sums {
        sha256: Sha256::digest(bytes).into(),
        nar_sha256: Some(Sha256::digest(archive).into()),
    }
}

#[test]
fn bytes_and_hashes_are_those_of_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("a"), dir.path().join("b"));
    for length in [0, 1, 7, 8, CHUNK - 1, CHUNK, CHUNK + 1, 40 * CHUNK + 13] {
        let bytes = noise(length);
        fs::write(&source, &bytes).unwrap();
        let (hashed, how) = copy(&source, Dest::at(&dest), Want::FlatAndNar, GO_ON).unwrap();
        assert!(matches!(
            how,
            ArtifactOrigin::Copied | ArtifactOrigin::Reflinked
        ));
        assert_eq!(fs::read(&dest).unwrap(), bytes);
        assert_eq!(hashed.sums, sums(&bytes));
        assert_eq!(hashed.stamp.bytes, length as u64);
        assert_eq!(hash(&source, Want::FlatAndNar, GO_ON).unwrap(), hashed);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn data_between_holes_is_kept_and_so_are_the_holes() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("a"), dir.path().join("b"));
    let mut file = File::create(&source).unwrap();
    for at in [0, 3 << 20, (9 << 20) + 17] {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&noise(5000)).unwrap();
    }
    file.set_len(16 << 20).unwrap();
    let (hashed, _) = copy(
        &source,
        Dest {
            mode: Some(0o444),
            ..Dest::at(&dest)
        },
        Want::FlatAndNar,
        GO_ON,
    )
    .unwrap();
    let bytes = fs::read(&source).unwrap();
    assert_eq!(fs::read(&dest).unwrap(), bytes);
    assert_eq!(hashed.sums, sums(&bytes));
    let metadata = dest.metadata().unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o444);
    assert!(
        metadata.blocks() * 512 < 1 << 20,
        "{} blocks",
        metadata.blocks()
    );
}

#[test]
fn eight_sparse_gibibytes() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("a"), dir.path().join("b"));
    let mut file = File::create(&source).unwrap();
    file.write_all(&noise(1 << 20)).unwrap();
    file.set_len(8 << 30).unwrap();
    let start = Instant::now();
    let (hashed, _) = copy(&source, Dest::at(&dest), Want::Flat, GO_ON).unwrap();
    // SHA-256 of 8 GiB takes some 5 s; reading them took 17 s where it was measured.
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(hashed.stamp.bytes, 8 << 30);
    let (from, to) = (source.metadata().unwrap(), dest.metadata().unwrap());
    assert_eq!(to.len(), 8 << 30);
    assert!(
        to.blocks() <= from.blocks() + 64,
        "{} > {}",
        to.blocks(),
        from.blocks()
    );
}

#[test]
fn what_is_no_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    fs::write(place("file"), "x").unwrap();
    std::os::unix::fs::symlink("file", place("link")).unwrap();
    std::os::unix::fs::symlink("gone", place("dangling")).unwrap();
    fs::create_dir(place("dir")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place("socket")).unwrap();
    let mut out = String::new();
    for name in ["link", "dangling", "dir", "pipe", "socket", "absent"] {
        let error = copy(&place(name), Dest::at(&place("copy")), Want::Flat, GO_ON).unwrap_err();
        out += &format!("{error}\n").replace(dir.path().to_str().unwrap(), "DIR");
    }
    let null = copy(
        Path::new("/dev/null"),
        Dest::at(&place("copy")),
        Want::Flat,
        GO_ON,
    );
    out += &null.unwrap_err().to_string();
    insta::assert_snapshot!(out, @"
    DIR/link is a symbolic link, not a file
    DIR/dangling is a symbolic link, not a file
    DIR/dir is a directory, not a file
    DIR/pipe is a named pipe, not a file
    DIR/socket is a socket, not a file
    cannot open DIR/absent: No such file or directory (os error 2)
    /dev/null is a character device, not a file
    ");
    assert!(!place("copy").exists() && !place("copy.part").exists());
}

/// Copies 64 chunks and calls `change` in the middle.
fn copy_while(change: impl Fn(&Path) + Sync) -> (String, usize) {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("a"), dir.path().join("b"));
    fs::write(&source, noise(64 * CHUNK)).unwrap();
    // Times have the kernel's tick as their grain.
    std::thread::sleep(Duration::from_millis(30));
    let asked = AtomicUsize::new(0);
    let stop = || {
        if asked.fetch_add(1, Ordering::Relaxed) == 32 {
            change(&source);
        }
        false
    };
    let error = copy(&source, Dest::at(&dest), Want::Flat, &stop).unwrap_err();
    let left = fs::read_dir(dir.path()).unwrap().count();
    (
        error
            .to_string()
            .replace(dir.path().to_str().unwrap(), "DIR"),
        left,
    )
}

#[test]
fn a_change_while_reading_is_found_and_nothing_is_left() {
    let open = |path: &Path| OpenOptions::new().write(true).open(path).unwrap();
    let results = [
        copy_while(|path| open(path).write_all_at(b"x", 0).unwrap()),
        copy_while(|path| open(path).write_all_at(b"x", 64 * CHUNK as u64).unwrap()),
        copy_while(|path| open(path).set_len(10).unwrap()),
        copy_while(|path| {
            fs::write(path.with_extension("new"), noise(64 * CHUNK)).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        }),
    ];
    insta::assert_snapshot!(results.map(|(error, left)| format!("{error}, {left} left")).join("\n"), @"
    DIR/a changed while it was read (its times), 1 left
    DIR/a changed while it was read (its size), 1 left
    DIR/a changed while it was read (it became shorter), 1 left
    DIR/a changed while it was read (its times), 1 left
    ");
}

#[test]
fn a_stop_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("a");
    File::create(&source).unwrap().set_len(1 << 40).unwrap();
    let error = copy(
        &source,
        Dest::at(&dir.path().join("b")),
        Want::Flat,
        &|| true,
    )
    .unwrap_err();
    assert!(matches!(error, CopyError::Stopped(_)), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_was_at_the_destination_stays_when_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("b");
    fs::write(&dest, "before").unwrap();
    assert!(copy(&dir.path().join("a"), Dest::at(&dest), Want::Flat, GO_ON).is_err());
    assert_eq!(fs::read(&dest).unwrap(), b"before");
}
