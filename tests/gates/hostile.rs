//! Whatever the bytes are: no panic, no loop without end, no memory by a number in the file.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use isar_build_all::base::arch::Arch;
use isar_build_all::inspect;
use proptest::prelude::*;

use crate::images::{AMD64, cpio, esp, ext4, filter, look_at, rules, run, squashfs, system, tree};

/// Sound files of every format; each is small.
fn corpus() -> &'static Vec<Vec<u8>> {
    static CORPUS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let root = tree(dir, AMD64, &[]);
        let archive = cpio(&root);
        run(dir, "tar", &["-cf", "root.tar", "-C", "root", "."]);
        let tar = fs::read(dir.join("root.tar")).unwrap();
        let read = |path: PathBuf| fs::read(path).unwrap();
        vec![
            filter("gzip", &["-c"], &archive),
            filter("xz", &["-c"], &archive),
            filter("zstd", &["-q", "-c"], &tar),
            filter("lz4", &["-q", "-c", "-l"], &archive),
            archive,
            tar,
            read(ext4(dir, &root)),
            read(esp(dir, "BOOTX64.EFI", b"x")),
            read(squashfs(dir, &root, "gzip")),
            read(system(dir, AMD64, &[])),
        ]
    })
}

fn bounded(content: &[u8]) {
    let begin = Instant::now();
    look_at(content);
    assert!(begin.elapsed() < Duration::from_secs(60));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_after_any_magic(
        magic in prop::sample::select(vec![
            &b"070701"[..], b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh9",
            b"\x02\x21\x4c\x18", b"\x04\x22\x4d\x18", b"\x5d\0\0", b"hsqs", b"MZ", b"\x7fELF", b"",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..6000),
    ) {
        let mut content = magic.to_vec();
        content.extend(rest);
        bounded(&content);
    }

    #[test]
    fn sound_files_with_some_bytes_changed(
        which in 0_usize..10,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        near in any::<bool>(),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut content = corpus()[which].clone();
        // What says how the rest is to be read is at the begin of a file or partition.
        let base = if which == 9 { [0, 1 << 20, 6 << 20][changes.len() % 3] } else { 0 };
        let span = if near { 16384.min(content.len() - base) } else { content.len() - base };
        for (place, byte) in changes {
            content[base + place.index(span)] = byte;
        }
        if let Some(cut) = cut {
            content.truncate(cut.index(content.len()));
        }
        bounded(&content);
    }

    #[test]
    fn block_maps_of_anything(text in "[ -~\n]{0,400}", at in any::<prop::sample::Index>()) {
        let sound = "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n<ImageSize> 8192 </ImageSize>\
            <BlockSize> 4096 </BlockSize><BlocksCount> 2 </BlocksCount>\
            <MappedBlocksCount> 1 </MappedBlocksCount><ChecksumType> sha256 </ChecksumType>\
            <BmapFileChecksum> 0 </BmapFileChecksum><BlockMap>\
            <Range chksum=\"00\"> 0-1 </Range></BlockMap></bmap>";
        let mut mixed = sound.to_owned();
        mixed.insert_str(at.index(sound.len()), &text);
        let dir = tempfile::tempdir().unwrap();
        let (bmap, image) = (dir.path().join("bmap"), dir.path().join("image"));
        fs::write(&image, [1; 8192]).unwrap();
        for text in [&text, &mixed] {
            fs::write(&bmap, text).unwrap();
            inspect::inspect_bmap(&bmap, &image, &rules(Arch::Amd64, &[])).unwrap();
        }
    }
}
