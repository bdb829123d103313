use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use tempfile::TempDir;

use crate::fs::stamp::Stamp;
use crate::store::copy::data_of;
use crate::store::products::*;

const SIZE: u64 = 9 * 1024 * 1024 + 700;

fn go_on() -> bool {
    false
}

/// Bytes that compress somewhat, other ones from another start.
fn noise(start: u32, length: usize) -> Vec<u8> {
    let mut state = start;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u8::try_from(state >> 27).unwrap()
    })
    .take(length)
    .collect()
}

/// An image with data in three places, with zeros that are written, and with holes.
fn image(dir: &TempDir, sparse: bool) -> PathBuf {
    let path = dir.path().join(if sparse { "sparse" } else { "dense" });
    let file = File::create(&path).unwrap();
    if sparse {
        file.set_len(SIZE).unwrap();
    } else {
        let size = usize::try_from(SIZE).unwrap();
        file.write_all_at(&vec![0; size], 0).unwrap();
    }
    file.write_all_at(&noise(1, 300_000), 0).unwrap();
    file.write_all_at(&vec![0; 64 * 1024], 1 << 20).unwrap();
    file.write_all_at(&noise(2, 4_000_000), 3 << 20).unwrap();
    file.write_all_at(&noise(3, 300), SIZE - 300).unwrap();
    path
}

fn all(places: &[(Method, PathBuf)]) -> WantedProducts<'_> {
    WantedProducts {
        places,
        known: PRODUCTS,
    }
}

fn made(path: &Path, dir: &TempDir, method: Method, threads: u32) -> Vec<u8> {
    let dest = dir.path().join("made");
    let data = data_of(path, None, BLOCK).unwrap();
    let source = Source {
        path,
        bytes: SIZE,
        data: &data,
        known: Some(Stamp::of(&path.symlink_metadata().unwrap())),
    };
    let wanted = [(method, dest.clone())];
    let mut made = make(source, all(&wanted), threads, &go_on).unwrap();
    let one = made.remove(0);
    one.part.commit(None).unwrap();
    let bytes = fs::read(&dest).unwrap();
    assert_eq!(one.bytes, bytes.len() as u64);
    let sha256: [u8; 32] = Sha256::digest(&bytes).into();
    assert_eq!(one.sha256, sha256);
    bytes
}

fn run(program: &str, args: &[&str], dir: &TempDir) -> String {
    let mut command = Command::new(program);
    let output = command.args(args).current_dir(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap() + &said
}

#[test]
fn the_same_bytes_are_compressed_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (sparse, dense) = (image(&dir, true), image(&dir, false));
    for level in [1, 3, 12] {
        let method = Method::zst(level);
        let first = made(&sparse, &dir, method, 1);
        for threads in [0, 2, 4, 64] {
            assert_eq!(made(&sparse, &dir, method, threads), first, "{threads}");
        }
        assert_eq!(made(&dense, &dir, method, 2), first);
        let back = zstd::decode_all(&first[..]).unwrap();
        assert!(back == fs::read(&sparse).unwrap(), "level {level}");
    }
}

#[test]
fn zstd_tells_the_size_and_finds_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let sparse = image(&dir, true);
    let mut bytes = made(&sparse, &dir, Method::zst(3), 2);
    fs::rename(dir.path().join("made"), dir.path().join("made.zst")).unwrap();
    run("zstd", &["--test", "-q", "made.zst"], &dir);
    let list = run("zstd", &["--list", "-v", "made.zst"], &dir);
    assert!(list.contains(&format!("({SIZE} B)")), "{list}");
    assert!(list.contains("XXH64"), "{list}");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(zstd::decode_all(&bytes[..]).is_err());
}

#[test]
fn a_block_map_is_what_bmaptool_makes_and_takes() {
    let dir = tempfile::tempdir().unwrap();
    let sparse = image(&dir, true);
    made(&sparse, &dir, Method::bmap(), 1);
    fs::rename(dir.path().join("made"), dir.path().join("sparse.bmap")).unwrap();
    run("bmaptool", &["create", "-o", "theirs", "sparse"], &dir);
    // All but the comments, the spaces between, and with them its own checksum.
    let essence = |name: &str| {
        let text = fs::read_to_string(dir.path().join(name)).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let nodes = document.descendants().filter(roxmltree::Node::is_element);
        let told: Vec<_> = nodes
            .filter(|node| node.tag_name().name() != "BmapFileChecksum")
            .map(|node| {
                let text = node.text().unwrap_or_default().trim().to_owned();
                (
                    node.tag_name().name().to_owned(),
                    text,
                    node.attribute("chksum").map(str::to_owned),
                )
            })
            .collect();
        told
    };
    assert_eq!(essence("sparse.bmap"), essence("theirs"));
    let ranges = essence("sparse.bmap");
    let ranges = ranges.iter().filter(|(tag, ..)| tag == "Range").count();
    assert_eq!(ranges, 4, "the zeros that were written are data");
    made(&sparse, &dir, Method::zst(3), 2);
    fs::rename(dir.path().join("made"), dir.path().join("sparse.zst")).unwrap();
    for image in ["sparse", "sparse.zst"] {
        run(
            "bmaptool",
            &["copy", "--bmap", "sparse.bmap", image, "copied"],
            &dir,
        );
        let copied = fs::read(dir.path().join("copied")).unwrap();
        assert!(copied == fs::read(&sparse).unwrap(), "{image}");
        fs::remove_file(dir.path().join("copied")).unwrap();
    }
}

#[test]
fn where_a_file_is_in_another_state_all_of_it_is_data() {
    let dir = tempfile::tempdir().unwrap();
    let sparse = image(&dir, true);
    let known = crate::fs::stamp::Stamp::of(&sparse.metadata().unwrap());
    let data = data_of(&sparse, Some(&known), BLOCK).unwrap();
    let edges: Vec<(u64, u64)> = data.iter().map(|range| (range.start, range.end)).collect();
    let last = SIZE / BLOCK * BLOCK;
    assert_eq!(
        edges,
        [
            (0, 300_000_u64.next_multiple_of(BLOCK)),
            (1 << 20, (1 << 20) + 64 * 1024),
            (3 << 20, ((3 << 20) + 4_000_000_u64).next_multiple_of(BLOCK)),
            (last, SIZE),
        ]
    );
    let file = File::options().write(true).open(&sparse).unwrap();
    file.write_all_at(b"new", 8 << 20).unwrap();
    let data = data_of(&sparse, Some(&known), BLOCK).unwrap();
    assert_eq!((data.len(), data[0].clone()), (1, 0..SIZE));
}

#[test]
fn what_is_stopped_or_too_short_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sparse = image(&dir, true);
    let wanted = [Method::zst(3), Method::bmap()]
        .map(|method| (method, dir.path().join(format!("made{}", method.suffix()))));
    let source = |bytes| Source {
        path: &sparse,
        bytes,
        data: &[],
        known: None,
    };
    let stopped = make(source(SIZE), all(&wanted), 2, &|| true).unwrap_err();
    assert!(matches!(stopped, CopyError::Stopped(_)), "{stopped}");
    let known = Stamp {
        inode: 1,
        ..Stamp::of(&sparse.symlink_metadata().unwrap())
    };
    let other = Source {
        known: Some(known),
        ..source(SIZE)
    };
    let changed = make(other, all(&wanted), 2, &go_on).unwrap_err();
    assert!(matches!(changed, CopyError::Changed { .. }), "{changed}");
    let short = make(source(SIZE + 1), all(&wanted), 2, &go_on).unwrap_err();
    assert!(matches!(short, CopyError::Changed { .. }), "{short}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
