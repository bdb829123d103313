//! The machine's file system: programs of this host with their libraries, the built binary, the programs
//! that stand for kas-container and podman, the scenarios.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::archive::Archive;
use crate::kernel::Kernel;
use support::{output, root, tool};

/// Programs that are this host's own; all others are busybox'.
const PROGRAMS: [&str; 8] = [
    "ls", "mount", "runc", "setpriv", "sgdisk", "sudo", "timeout", "umount",
];

/// What sudo loads while it runs.
const LOADED: [&str; 2] = ["/usr/libexec/sudo/sudoers.so", "pam_permit.so"];

/// Where the root of containers is.
const CONTAINER: &str = "/container";

pub(crate) fn make(path: &Path, scratch: &Path, kernel: &Kernel) {
    let mut archive = Archive::create(path);
    for dir in [
        "/dev",
        "/proc",
        "/sys",
        "/tmp",
        "/run",
        "/mnt",
        "/root",
        "/home/isar",
        "/var/tmp",
        "/container/proc",
        "/container/dev",
        "/container/tmp",
        "/container/root",
    ] {
        archive.directory(dir);
    }
    merge_usr(&mut archive, "");
    merge_usr(&mut archive, CONTAINER);
    etc(&mut archive);
    for name in PROGRAMS {
        let mode = if name == "sudo" { 0o4755 } else { 0o755 };
        program(&mut archive, "", &which(name), name, mode);
    }
    program(&mut archive, CONTAINER, &which("sgdisk"), "sgdisk", 0o755);
    for file in LOADED.map(loaded) {
        with_libraries(&mut archive, "", &file);
        archive.file(settled(&file), 0o644, &read(&file));
    }
    let binary = scratch.join("isar-build-all");
    output(Command::new("strip").arg("-o").arg(&binary).arg(tool()));
    program(&mut archive, "", &binary, "isar-build-all", 0o755);
    let hold = scratch.join("hold");
    output(
        Command::new("gcc")
            .args(["-Wall", "-Werror", "-O1", "-o"])
            .arg(&hold)
            .arg(guest("hold.c")),
    );
    program(&mut archive, "", &hold, "hold", 0o755);
    busybox(&mut archive, "");
    busybox(&mut archive, CONTAINER);
    for (name, place) in [
        ("init", "/init"),
        ("kas-container", "/usr/bin/kas-container"),
        ("podman", "/usr/bin/podman"),
        (
            "container-entrypoint",
            "/container/usr/bin/container-entrypoint",
        ),
    ] {
        archive.file(place, 0o755, &read(&guest(name)));
    }
    for name in [
        "lib.sh",
        "hang.sh",
        "drives.sh",
        "deaths.sh",
        "variants.toml",
    ] {
        archive.file(
            Path::new("/scenarios").join(name),
            0o644,
            &read(&guest(name)),
        );
    }
    let mut order = String::new();
    for (name, file) in &kernel.modules {
        archive.file(format!("/modules/{name}.ko"), 0o644, &read(file));
        order.push_str(&format!("{name}\n"));
    }
    archive.file("/modules/order", 0o644, order.as_bytes());
    archive.finish();
}

fn etc(archive: &mut Archive) {
    for (name, mode, text) in [
        (
            "passwd",
            0o644,
            "root:x:0:0::/root:/bin/sh\nisar:x:1000:1000::/home/isar:/bin/sh\n",
        ),
        ("group", 0o644, "root:x:0:\nisar:x:1000:\n"),
        ("shadow", 0o640, "root:*:1::::::\nisar:*:1::::::\n"),
        ("hosts", 0o644, "127.0.0.1 localhost vm\n"),
        (
            "nsswitch.conf",
            0o644,
            "passwd: files\ngroup: files\nhosts: files\n",
        ),
        (
            "sudoers",
            0o440,
            "root ALL=(ALL:ALL) ALL\nisar ALL=(ALL:ALL) NOPASSWD: ALL\n",
        ),
        (
            "wsl.conf",
            0o644,
            "[automount]\nenabled = true\nroot = /mnt/\n",
        ),
        (
            "pam.d/sudo",
            0o644,
            "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
        ),
    ] {
        archive.file(Path::new("/etc").join(name), mode, text.as_bytes());
    }
    for name in ["login.defs", "ld.so.cache"] {
        if let Ok(contents) = fs::read(Path::new("/etc").join(name)) {
            archive.file(Path::new("/etc").join(name), 0o644, &contents);
        }
    }
}

/// The directories that every Debian keeps as links to those of `/usr`.
fn merge_usr(archive: &mut Archive, under: &str) {
    for name in ["bin", "sbin", "lib", "lib64"] {
        archive.directory(format!("{under}/usr/{name}"));
        archive.link(format!("{under}/{name}"), &format!("usr/{name}"));
    }
}

fn program(archive: &mut Archive, under: &str, from: &Path, name: &str, mode: u32) {
    archive.file(format!("{under}/usr/bin/{name}"), mode, &read(from));
    with_libraries(archive, under, from);
}

fn with_libraries(archive: &mut Archive, under: &str, file: &Path) {
    let said = output(Command::new("ldd").arg(file));
    for word in said.split_whitespace().filter(|word| word.starts_with('/')) {
        let place = settled(Path::new(word));
        let mode = fs::metadata(word).unwrap().permissions().mode() & 0o777;
        archive.file(
            format!("{under}{}", place.display()),
            mode,
            &read(Path::new(word)),
        );
    }
}

/// A path of this host below `/usr`, where it is in every Debian.
fn settled(path: &Path) -> PathBuf {
    if path.starts_with("/usr") {
        path.to_owned()
    } else {
        Path::new("/usr").join(path.strip_prefix("/").unwrap())
    }
}

fn busybox(archive: &mut Archive, under: &str) {
    let busybox = which("busybox");
    let libraries = Command::new("ldd").arg(&busybox).output().unwrap();
    assert!(
        !libraries.status.success(),
        "{} is not the static one; run scripts/setup --tests",
        busybox.display()
    );
    archive.file(format!("{under}/usr/bin/busybox"), 0o755, &read(&busybox));
    for name in output(Command::new(&busybox).arg("--list")).lines() {
        archive.link(format!("{under}/usr/bin/{name}"), "busybox");
    }
}

/// Also the programs of system administration, which are not in every user's PATH.
fn which(name: &str) -> PathBuf {
    which::which_in(name, Some("/usr/sbin:/usr/bin:/sbin:/bin"), "/")
        .unwrap_or_else(|_| panic!("{name} is not installed; run scripts/setup --tests"))
}

fn loaded(name: &str) -> PathBuf {
    let libraries = format!("/usr/lib/{}-linux-gnu/security", std::env::consts::ARCH);
    Path::new(&libraries).join(name)
}

fn guest(name: &str) -> PathBuf {
    root().join("tests/vm/guest").join(name)
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
