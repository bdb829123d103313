//! The guards of WSL on the real engine: what the filter does to a real sgdisk and to 32-bit programs, and that
//! a real container is paused and goes on. Windows drives are not needed for either; tests/vm has them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use isar_build_all::wsl::seccomp::{filters, is_filtered, write_profile};

use crate::project::{Project, environment, output};

/// A program for i386 that makes no library call: `sync`, then `exit` with what sync returned. ELF header, one
/// program header, code (System V ABI, Intel386 supplement, figures 4-3 and 5-1).
fn program_32() -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    let code: [u8; 15] = [
        0xb8, 36, 0, 0, 0, // mov eax, 36 (sync)
        0xcd, 0x80, // int 0x80
        0x89, 0xc3, // mov ebx, eax
        0x31, 0xc0, // xor eax, eax
        0x40, 0x90, // inc eax (exit); nop
        0xcd, 0x80, // int 0x80
    ];
    let size = 52 + 32 + u32::try_from(code.len()).unwrap();
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |value: u16| value.to_le_bytes().to_vec();
    let word = |value: u32| value.to_le_bytes().to_vec();
    for part in [
        half(2),
        half(3),
        word(1),
        word(BASE + 84),
        word(52),
        word(0),
        word(0),
        half(52),
        half(32),
        half(1),
        half(0),
        half(0),
        half(0),
    ] {
        file.extend(part);
    }
    for part in [1, 0, BASE, BASE, size, size, 5, 0x1000] {
        file.extend(word(part));
    }
    file.extend(code);
    file
}

/// Puts this machine's sgdisk with its libraries into `dir`, for a container whose image has none. With the
/// loader among them they run whatever the image has.
fn bring_sgdisk(dir: &Path) {
    let sgdisk = which::which("sgdisk").unwrap();
    let needs = output(Command::new("ldd").arg(&sgdisk));
    let libraries = needs
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(Path::new);
    for file in libraries.chain([sgdisk.as_path()]) {
        fs::copy(file, dir.join(file.file_name().unwrap())).unwrap();
    }
}

/// sgdisk as wic calls it, with every number given so that nothing is left to chance.
const PARTITION: &str = "\
sgdisk() { /t/ld-linux-*.so.* --library-path /t /t/sgdisk \"$@\"; } && \
truncate -s 64M $1 && \
sgdisk --disk-guid=11111111-2222-3333-4444-555555555555 \
  --new=1:2048:34815 --new=2:34816:100351 $1 && \
sgdisk --change-name=1:efi --typecode=1:ef00 --partition-guid=1:AAAAAAAA-0000-0000-0000-000000000001 $1 && \
sgdisk --change-name=2:root --partition-guid=2:AAAAAAAA-0000-0000-0000-000000000002 $1 && \
sgdisk -v $1";

fn in_container(dir: &Path, profile: Option<&Path>, script: &str, argument: &str) -> Output {
    let mut command = Command::new("sudo");
    command.args(["-n", "podman", "run", "--rm", "--privileged"]);
    if let Some(profile) = profile {
        command
            .arg("--security-opt")
            .arg(format!("seccomp={}", profile.display()));
    }
    command
        .arg("-v")
        .arg(format!("{}:/t", dir.display()))
        .args(["--user", "root", "--entrypoint", "sh"])
        .arg(environment("KAS_CONTAINER_IMAGE"))
        .args(["-c", script, "sh", argument])
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    both.concat()
}

#[test]
fn under_the_filter_sgdisk_writes_the_same_and_32_bit_programs_live() {
    let dir = tempfile::tempdir().unwrap();
    let profile = write_profile(dir.path()).unwrap();
    bring_sgdisk(dir.path());

    let free = in_container(dir.path(), None, PARTITION, "/t/free.img");
    let filtered = in_container(dir.path(), Some(&profile), PARTITION, "/t/filtered.img");
    for output in [&free, &filtered] {
        assert!(output.status.success(), "{}", text(output));
        assert!(
            text(output).contains("No problems found"),
            "{}",
            text(output)
        );
    }
    let image = |name: &str| fs::read(dir.path().join(name)).unwrap();
    assert_eq!(&image("free.img")[512..520], b"EFI PART");
    assert!(
        image("free.img") == image("filtered.img"),
        "the images differ"
    );

    let outer = filters(&fs::read_to_string("/proc/self/status").unwrap());
    for (profile, expected) in [(None, false), (Some(profile.as_path()), true)] {
        let status = in_container(dir.path(), profile, "cat /proc/1/status", "");
        assert_eq!(
            is_filtered(&text(&status), outer),
            expected,
            "{}",
            text(&status)
        );
    }

    if cfg!(target_arch = "x86_64") {
        let program = dir.path().join("i386");
        fs::write(&program, program_32()).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        for profile in [None, Some(profile.as_path())] {
            let lives = in_container(dir.path(), profile, "/t/i386; echo ended with $?", "");
            assert_eq!(text(&lives), "ended with 0\n", "{profile:?}");
        }
        // What the list of architectures is for: without it the program dies of SIGSYS.
        let blind = dir.path().join("blind.json");
        let whole = fs::read_to_string(&profile).unwrap();
        fs::write(&blind, whole.replace("\"SCMP_ARCH_X86\", ", "")).unwrap();
        let dies = in_container(dir.path(), Some(&blind), "/t/i386; echo ended with $?", "");
        assert!(text(&dies).contains("ended with 159"), "{}", text(&dies));
    }
    // Root's files in it would stay.
    output(
        Command::new("sudo")
            .args(["-n", "chmod", "-R", "a+rwX"])
            .arg(dir.path()),
    );
}

#[test]
fn a_build_runs_under_the_filter_and_another_is_paused_while_drives_are_away() {
    let project = Project::new();
    let build = |variant: &str, guard: &str, events: &str| {
        let args = ["--variant", variant, "--store", "local", "--events", events];
        let mut command = project.command(&args);
        command
            .env("ISAR_BUILD_ALL_WSL_SYNC_GUARD", guard)
            .env("WSL_DISTRO_NAME", "Debian");
        let ended = command.output().unwrap();
        assert!(ended.status.success(), "{}", text(&ended));
        let warned: Vec<String> = project
            .events(events)
            .iter()
            .filter(|event| event["kind"] == "warning")
            .map(ToString::to_string)
            .collect();
        let about_guard = |said: &&String| {
            ["seccomp", "pause", "drive", "sync("]
                .iter()
                .any(|word| said.contains(word))
        };
        let about_guard: Vec<&String> = warned.iter().filter(about_guard).collect();
        assert!(about_guard.is_empty(), "{about_guard:?}");
    };
    build(
        "qemuamd64/server-static-server-1",
        "seccomp",
        "filtered.jsonl",
    );
    build(
        "qemuamd64/server-static-server-2",
        "unmount",
        "paused.jsonl",
    );
    let since = [
        "events",
        "--stream=false",
        "--since",
        "5m",
        "--filter",
        "event=pause",
    ];
    let mut events = Command::new("sudo");
    let seen = output(
        events
            .args(["-n", "podman"])
            .args(since)
            .args(["--format", "{{.Name}}"]),
    );
    let ours = seen
        .lines()
        .filter(|name| name.contains("server-static-server-2"))
        .count();
    // Once to see that it can be, once while the image was made.
    assert!(ours >= 2, "{seen}");
}
