//! Disk images and file systems.

use std::fs::{self, OpenOptions};

use isar_build_all::base::arch::Arch;
use isar_build_all::inspect;
use isar_build_all::inspect::Gate;

use crate::images::{
    AMD64, ARM64, disk, efi, elf, esp, ext4, faults, look, patch, rules, run, sized, squashfs,
    system, tree,
};

#[test]
fn a_whole_image_of_the_machine_passes() {
    let dir = tempfile::tempdir().unwrap();
    let report = look(&system(dir.path(), AMD64, &[]));
    assert_eq!(faults(&report), []);
    assert_eq!(report.what, "GPT disk image");
    assert_eq!((report.programs, report.foreign_allowed), (3, 1));
    assert_eq!(report.unread, Vec::<String>::new());
}

#[test]
fn one_foreign_program_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let image = system(dir.path(), AMD64, &[("usr/bin/k3s", elf(ARM64))]);
    assert_eq!(
        faults(&look(&image)),
        [(
            Gate::Architecture,
            "/usr/bin/k3s in partition 2 (platform) is for arm64, the machine is amd64"
        )]
    );
    let allowing = rules(Arch::Amd64, &["/usr/bin/k3s", "/usr/lib/grub/**"]);
    let report = inspect::inspect(&image, &allowing).unwrap();
    assert_eq!(faults(&report), []);
    assert_eq!(report.foreign_allowed, 2);
}

#[test]
fn many_foreign_programs_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let report = look(&system(
        dir.path(),
        ARM64,
        &[
            ("usr/bin/a", elf(ARM64)),
            ("usr/bin/b", elf(ARM64)),
            ("usr/bin/c", elf(ARM64)),
            ("usr/bin/d", elf(ARM64)),
        ],
    ));
    let found = faults(&report);
    assert_eq!(found.len(), 6);
    assert!(
        found[0]
            .1
            .contains("/EFI/BOOT/BOOTAA64.EFI in partition 1 (efi)")
    );
    assert_eq!(found[5].1, "2 more are foreign");
}

#[test]
fn a_loader_for_another_machine_is_found_in_the_efi_partition() {
    let dir = tempfile::tempdir().unwrap();
    let esp = esp(dir.path(), "BOOTX64.EFI", &efi(0xaa64));
    let root = ext4(dir.path(), &tree(dir.path(), AMD64, &[]));
    let report = look(&disk(dir.path(), &[("efi", &esp), ("root", &root)]));
    assert_eq!(
        faults(&report),
        [(
            Gate::Architecture,
            "/EFI/BOOT/BOOTX64.EFI in partition 1 (efi) is for arm64, the machine is amd64"
        )]
    );
}

#[test]
fn squashfs_of_every_compression_is_read() {
    for compression in ["gzip", "xz", "zstd", "lz4"] {
        let dir = tempfile::tempdir().unwrap();
        let root = tree(dir.path(), AMD64, &[("opt/far/away/tool", elf(ARM64))]);
        let image = squashfs(dir.path(), &root, compression);
        let report = look(&image);
        assert_eq!(report.programs, 2, "{compression}: {report:?}");
        assert_eq!(
            faults(&report),
            [(
                Gate::Architecture,
                "/opt/far/away/tool is for arm64, the machine is amd64"
            )]
        );
        let file = OpenOptions::new().write(true).open(&image).unwrap();
        file.set_len(200).unwrap();
        assert!(
            faults(&look(&image))[0].1.contains("truncated"),
            "{compression}"
        );
    }
}

#[test]
fn empty_and_zeroed_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.wic");
    fs::write(&path, "").unwrap();
    assert_eq!(faults(&look(&path)), [(Gate::Shape, "it is empty")]);
    sized(&path, 8 << 30);
    assert_eq!(
        faults(&look(&path)),
        [(Gate::Shape, "all of its 8589934592 bytes are zero")]
    );
    fs::write(&path, vec![0; 300_000]).unwrap();
    assert_eq!(
        faults(&look(&path)),
        [(Gate::Shape, "all of its 300000 bytes are zero")]
    );
}

#[test]
fn a_damaged_partition_table_is_refused_with_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let image = system(dir.path(), AMD64, &[]);
    let whole = fs::read(&image).unwrap();
    let length = whole.len() as u64;
    for (at, bytes, why) in [
        (512 + 56, &b"xx"[..], "the GPT header has a wrong checksum"),
        (512, b"NO PART!", "the GPT header is missing at byte 512"),
        (
            1024 + 40,
            b"\x07\x07",
            "the partition table has a wrong checksum",
        ),
        (
            length - 512 + 56,
            b"xx",
            "the backup GPT header has a wrong checksum",
        ),
        (
            length - 512,
            b"        ",
            "the backup GPT header is missing at byte 41942528",
        ),
        (
            length - 33 * 512 + 3,
            b"xx",
            "the backup partition table has a wrong checksum",
        ),
    ] {
        fs::write(&image, &whole).unwrap();
        patch(&image, at, bytes);
        assert_eq!(faults(&look(&image)), [(Gate::Shape, why)]);
    }
}

#[test]
fn a_truncated_image_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = system(dir.path(), AMD64, &[]);
    let file = OpenOptions::new().write(true).open(&image).unwrap();
    file.set_len(30 << 20).unwrap();
    assert_eq!(
        faults(&look(&image)),
        [(
            Gate::Shape,
            "it has 31457280 bytes and needs 41943040 by its partition table: it is truncated"
        )]
    );
}

#[test]
fn a_damaged_file_system_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = system(dir.path(), AMD64, &[]);
    // The block group descriptors.
    let root = 6 << 20;
    patch(&image, root + 2048, &[0xa5; 1024]);
    let report = look(&image);
    assert_eq!(report.findings.len(), 1, "{report:?}");
    let (gate, why) = faults(&report)[0];
    assert_eq!(gate, Gate::Shape);
    assert!(
        why.starts_with("the GPT disk image in partition 2"),
        "{why}"
    );
}

/// The block map that bmaptool makes, and an image that is no longer the one that it was made of.
#[test]
fn a_block_map_that_is_not_of_its_image_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = system(dir.path(), AMD64, &[]);
    run(
        dir.path(),
        "bmaptool",
        &["create", "-o", "disk.wic.bmap", "disk.wic"],
    );
    let bmap = dir.path().join("disk.wic.bmap");
    let rules = rules(Arch::Amd64, &[]);
    let compare = || {
        let report = inspect::inspect_bmap(&bmap, &image, &rules).unwrap();
        let why: Vec<String> = report.findings.into_iter().map(|one| one.why).collect();
        why.join("; ")
    };
    assert_eq!(compare(), "");

    let text = fs::read_to_string(&bmap).unwrap();
    fs::write(&bmap, text.replace("<BlocksCount> ", "<BlocksCount>  ")).unwrap();
    assert_eq!(compare(), "its own checksum is wrong");
    fs::write(&bmap, &text).unwrap();

    // The last MiB before the backup table was a hole.
    patch(&image, 39 << 20, b"data");
    assert_eq!(
        compare(),
        "the image has data at byte 40894464, which it does not map"
    );
    patch(&image, 39 << 20, &[0; 4]);
    assert_eq!(compare(), "");

    let mut byte = fs::read(&image).unwrap()[520];
    byte ^= 1;
    patch(&image, 520, &[byte]);
    assert!(
        compare().ends_with("of the image have another checksum"),
        "{}",
        compare()
    );

    let file = OpenOptions::new().write(true).open(&image).unwrap();
    file.set_len(41 << 20).unwrap();
    assert_eq!(
        compare(),
        "it is of an image of 41943040 bytes, and the image has 42991616"
    );
}
