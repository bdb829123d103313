//! Images for the tests, made by the tools that make real ones from programs that are headers alone.

use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};
use isar_build_all::base::arch::Arch;
use isar_build_all::inspect;
use isar_build_all::inspect::{Gate, Report, Rules};

pub(crate) const AMD64: u16 = 62;
pub(crate) const ARM64: u16 = 183;
const MIB: u64 = 1 << 20;

/// A program that is its header alone.
pub(crate) fn elf(machine: u16) -> Vec<u8> {
    let mut program = vec![0; 200];
    program[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    program[18..20].copy_from_slice(&machine.to_le_bytes());
    program
}

/// An EFI application that is its headers alone.
pub(crate) fn efi(machine: u16) -> Vec<u8> {
    let mut program = vec![0; 512];
    program[..2].copy_from_slice(b"MZ");
    program[0x3c] = 0x80;
    program[0x80..0x84].copy_from_slice(b"PE\0\0");
    program[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
    program[0x80 + 92] = 10;
    program
}

/// A bzImage of 8 KiB.
pub(crate) fn bzimage() -> Vec<u8> {
    let mut kernel = vec![0x90; 8192];
    kernel[0x1f1] = 3;
    kernel[0x1f4..0x1f8].copy_from_slice(&(6144_u32 / 16).to_le_bytes());
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    kernel[0x236] = 1;
    kernel
}

/// A raw arm64 Image.
pub(crate) fn arm64_image() -> Vec<u8> {
    let mut kernel = vec![0x1f; 8192];
    kernel[0x38..0x3c].copy_from_slice(b"ARM\x64");
    kernel
}

pub(crate) fn run(dir: &Path, program: &str, args: &[&str]) {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error} (scripts/setup --tests)"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What a program makes of its input.
pub(crate) fn filter(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("input");
    fs::write(&from, input).unwrap();
    let output = Command::new(program)
        .args(args)
        .stdin(fs::File::open(&from).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

/// A root file system tree of a machine, with `more` besides.
pub(crate) fn tree(dir: &Path, machine: u16, more: &[(&str, Vec<u8>)]) -> PathBuf {
    let root = dir.join("root");
    let mut files = vec![
        ("usr/bin/true", elf(machine)),
        ("usr/lib/libc.so.6", elf(machine)),
        ("usr/bin/which", b"#!/bin/sh\n".to_vec()),
        ("usr/lib/grub/i386-pc/normal.mod", elf(3)),
        ("etc/empty", Vec::new()),
    ];
    files.extend(more.iter().map(|(name, content)| (*name, content.clone())));
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    if !root.join("bin").exists() {
        std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
    }
    root
}

pub(crate) fn ext4(dir: &Path, root: &Path) -> PathBuf {
    let image = dir.join("root.ext4");
    sized(&image, 16 * MIB);
    let (root, image_name) = (root.to_str().unwrap(), image.to_str().unwrap());
    run(dir, "mkfs.ext4", &["-q", "-F", "-d", root, image_name]);
    image
}

pub(crate) fn squashfs(dir: &Path, root: &Path, compression: &str) -> PathBuf {
    let image = dir.join("root.squashfs");
    let (root, image_name) = (root.to_str().unwrap(), image.to_str().unwrap());
    run(
        dir,
        "mksquashfs",
        &[
            root,
            image_name,
            "-noappend",
            "-quiet",
            "-comp",
            compression,
        ],
    );
    image
}

/// An EFI system partition with one loader.
pub(crate) fn esp(dir: &Path, name: &str, loader: &[u8]) -> PathBuf {
    let image = dir.join("esp.img");
    sized(&image, 4 * MIB);
    fs::write(dir.join("loader"), loader).unwrap();
    run(dir, "mkfs.vfat", &["esp.img"]);
    run(dir, "mmd", &["-i", "esp.img", "::EFI", "::EFI/BOOT"]);
    let target = format!("::EFI/BOOT/{name}");
    run(dir, "mcopy", &["-i", "esp.img", "loader", &target]);
    image
}

/// A GPT disk with these partitions.
pub(crate) fn disk(dir: &Path, partitions: &[(&str, &Path)]) -> PathBuf {
    let image = dir.join("disk.wic");
    sized(&image, 40 * MIB);
    let mut start = MIB;
    let mut args = vec!["-o".to_owned()];
    let mut places = Vec::new();
    for (index, (label, file)) in partitions.iter().enumerate() {
        let number = index + 1;
        let sectors = fs::metadata(file).unwrap().len().div_ceil(512);
        args.push(format!("-n={number}:{}:+{sectors}", start / 512));
        args.push(format!("-c={number}:{label}"));
        places.push(start);
        start += (sectors * 512).next_multiple_of(MIB) + MIB;
    }
    args.push(image.to_str().unwrap().to_owned());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(dir, "sgdisk", &args);
    let target = OpenOptions::new().write(true).open(&image).unwrap();
    for (place, (_, file)) in places.iter().zip(partitions) {
        // Holes stay holes.
        for (index, block) in fs::read(file).unwrap().chunks(4096).enumerate() {
            if block.iter().any(|&byte| byte != 0) {
                target
                    .write_all_at(block, place + 4096 * index as u64)
                    .unwrap();
            }
        }
    }
    image
}

/// A whole disk image of a machine: ESP and root.
pub(crate) fn system(dir: &Path, machine: u16, more: &[(&str, Vec<u8>)]) -> PathBuf {
    let root = ext4(dir, &tree(dir, machine, more));
    let (name, pe) = match machine {
        AMD64 => ("BOOTX64.EFI", 0x8664),
        _ => ("BOOTAA64.EFI", 0xaa64),
    };
    let esp = esp(dir, name, &efi(pe));
    disk(dir, &[("efi", &esp), ("platform", &root)])
}

/// The cpio archive of a tree.
pub(crate) fn cpio(root: &Path) -> Vec<u8> {
    let dir = root.parent().unwrap();
    let script = "cd root && find . | cpio --quiet -o -H newc > ../archive.cpio";
    run(dir, "sh", &["-c", script]);
    fs::read(dir.join("archive.cpio")).unwrap()
}

pub(crate) fn sized(path: &Path, bytes: u64) {
    fs::File::create(path).unwrap().set_len(bytes).unwrap();
}

/// Writes bytes into a file.
pub(crate) fn patch(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

pub(crate) fn rules(arch: Arch, foreign: &[&str]) -> Rules {
    let mut set = GlobSetBuilder::new();
    for glob in foreign {
        set.add(Glob::new(glob).unwrap());
    }
    Rules {
        arch,
        foreign: set.build().unwrap_or(GlobSet::empty()),
        stop: Arc::new(|| false),
    }
}

/// Inspects for amd64, with GRUB's modules where they belong.
pub(crate) fn look(path: &Path) -> Report {
    inspect::inspect(path, &rules(Arch::Amd64, &["/usr/lib/grub/**"])).unwrap()
}

pub(crate) fn look_at(content: &[u8]) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, content).unwrap();
    look(&path)
}

/// What a report refuses.
pub(crate) fn faults(report: &Report) -> Vec<(Gate, &str)> {
    report
        .findings
        .iter()
        .map(|finding| (finding.gate, finding.why.as_str()))
        .collect()
}
