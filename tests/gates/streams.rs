//! Kernels, initial RAM disks and tar archives.

use std::fs;

use isar_build_all::inspect::Gate;

use crate::images::{
    AMD64, ARM64, arm64_image, bzimage, cpio, efi, elf, faults, filter, look_at, run, tree,
};

const COMPRESSIONS: [(&str, &[&str]); 7] = [
    ("gzip", &["-c"]),
    ("xz", &["-c", "--check=crc32"]),
    ("xz", &["-c", "--format=lzma"]),
    ("zstd", &["-q", "-c", "-19"]),
    ("bzip2", &["-c"]),
    ("lz4", &["-q", "-c"]),
    ("lz4", &["-q", "-c", "-l"]),
];

const FOREIGN: &str = "it is for arm64, the machine is amd64";

#[test]
fn kernels_of_the_machine_pass_and_others_do_not() {
    for kernel in [
        bzimage(),
        efi(0x8664),
        elf(AMD64),
        filter("gzip", &["-c"], &elf(AMD64)),
    ] {
        let report = look_at(&kernel);
        assert_eq!(faults(&report), [], "{report:?}");
        assert_eq!(report.programs, 1);
    }
    for kernel in [
        arm64_image(),
        efi(0xaa64),
        elf(ARM64),
        filter("gzip", &["-c"], &arm64_image()),
        filter("zstd", &["-q", "-c"], &arm64_image()),
    ] {
        assert_eq!(faults(&look_at(&kernel)), [(Gate::Architecture, FOREIGN)]);
    }
}

#[test]
fn a_truncated_kernel_is_refused() {
    assert_eq!(
        faults(&look_at(&bzimage()[..5000])),
        [(
            Gate::Shape,
            "it has 5000 bytes and needs 8192 by its boot header: it is truncated"
        )]
    );
    let packed = filter("gzip", &["-c"], &arm64_image());
    let report = look_at(&packed[..packed.len() - 6]);
    assert_eq!(
        faults(&report)[0],
        (
            Gate::Shape,
            "the program or kernel (gzip) cannot be read: it ends too early: it is truncated"
        )
    );
}

#[test]
fn initial_ram_disks_are_read_in_every_compression() {
    let dir = tempfile::tempdir().unwrap();
    let good = cpio(&tree(dir.path(), AMD64, &[]));
    let report = look_at(&good);
    assert_eq!(faults(&report), []);
    assert_eq!((report.programs, report.foreign_allowed), (2, 1));
    let bad = cpio(&tree(dir.path(), AMD64, &[("sbin/modprobe", elf(ARM64))]));
    let foreign = "/sbin/modprobe is for arm64, the machine is amd64";
    assert_eq!(faults(&look_at(&bad)), [(Gate::Architecture, foreign)]);
    for (program, args) in COMPRESSIONS {
        let packed = filter(program, args, &good);
        let report = look_at(&packed);
        assert_eq!(faults(&report), [], "{program} {args:?}");
        assert_eq!(report.programs, 2, "{program} {args:?}: {report:?}");
        // Early microcode is a plain archive before the compressed one.
        let mut both = good.clone();
        both.resize(both.len().next_multiple_of(512), 0);
        both.extend(filter(program, args, &bad));
        assert_eq!(
            faults(&look_at(&both)),
            [(Gate::Architecture, foreign)],
            "{program} {args:?}"
        );
        let report = look_at(&packed[..packed.len() / 2]);
        assert_eq!(report.findings[0].gate, Gate::Shape, "{program} {args:?}");
    }
}

#[test]
fn what_follows_an_archive_must_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = cpio(&tree(dir.path(), AMD64, &[]));
    let whole = archive.len();
    archive.extend([0; 64]);
    assert_eq!(faults(&look_at(&archive)), []);
    archive.extend(b"junk");
    assert_eq!(
        faults(&look_at(&archive)),
        [(
            Gate::Shape,
            "the initial RAM disk cannot be read: after a cpio archive follows neither another nor \
             compressed data"
        )]
    );
    assert_eq!(
        faults(&look_at(&archive[..whole / 2]))[0].1,
        "the initial RAM disk cannot be read: it ends too early: it is truncated"
    );
}

#[test]
fn tar_archives_are_read_in_every_format_and_compression() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("opt/{0}/{0}/{0}/tool", "a-long-name-".repeat(10));
    tree(dir.path(), AMD64, &[(&long, elf(ARM64))]);
    for format in ["gnu", "posix"] {
        let format = format!("--format={format}");
        run(
            dir.path(),
            "tar",
            &["-cf", "root.tar", &format, "-C", "root", "."],
        );
        let archive = fs::read(dir.path().join("root.tar")).unwrap();
        let why = format!("/{long} is for arm64, the machine is amd64");
        let wanted = [(Gate::Architecture, why.as_str())];
        assert_eq!(faults(&look_at(&archive)), wanted, "{format}");
        for (program, args) in COMPRESSIONS {
            let packed = filter(program, args, &archive);
            let report = look_at(&packed);
            assert_eq!(faults(&report), wanted, "{program} {args:?}");
            assert_eq!(report.programs, 2);
            let report = look_at(&packed[..packed.len() * 2 / 3]);
            let cut = report.findings.iter().any(|one| one.gate == Gate::Shape);
            assert!(cut, "{program} {args:?}: {report:?}");
        }
    }
}

#[test]
fn what_is_of_no_known_format_is_no_finding() {
    let report = look_at(b"NAME=\"Debian\"\n");
    assert_eq!((report.what.as_str(), faults(&report)), ("", vec![]));
    let report = look_at(&filter("gzip", &["-c"], b"text"));
    assert_eq!(faults(&report), []);
    assert_eq!(report.unread, ["what its gzip data holds"]);
}
