//! Scans all processes for users of a drive: working and root directories, open and mapped files,
//! and mount namespaces in which the drive is mounted.
//!
//! The scan never touches a drive: it compares paths, device numbers and mount ids with mountinfo.
//! Only root can inspect all processes, so the scan runs in a child (a hidden subcommand) with a
//! time limit. Processes of other WSL distributions are in other process namespaces and stay
//! invisible.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::exec::proc_stat;
use crate::host::mountinfo::Mount;
use crate::watchdog::hang::is_freezer_function;
use crate::wsl::drive::{has_drive_type, is_drive};
use crate::wsl::host::mounts_of;

/// At most this many uses of one process are reported.
const MAX_USES: usize = 8;

/// The hidden subcommand whose arguments the binary must pass to [`main`].
pub const SUBCOMMAND: &str = "internal-holders";

/// A process that uses a drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveUser {
    /// Process id.
    pub pid: i32,
    /// Command line; the name in brackets where there is none.
    pub command: String,
    /// How it uses the drive: `working directory /mnt/c`, `open file /mnt/c/x`, …
    pub uses: Vec<String>,
}

impl std::fmt::Display for DriveUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pid {} ({})", self.pid, self.command)?;
        match self.uses.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.uses.join(", ")),
        }
    }
}

/// A file system with a drive's type that is mounted in some namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MountedFileSystem {
    /// File system type.
    pub fs_type: String,
    /// Device number.
    pub device: String,
    /// Whether it is a Windows drive in that namespace.
    pub is_drive: bool,
}

/// The result of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessScan {
    /// The users of the drives that the scan was for.
    pub users: Vec<DriveUser>,
    /// The file systems with a drive's type in all namespaces.
    pub mounted: BTreeSet<MountedFileSystem>,
    /// The processes that are inside `sync(2)`.
    pub syncing: Vec<DriveUser>,
    /// Whether the mounts of every process could be read.
    pub complete: bool,
}

/// Runs the hidden subcommand. `arguments`: `/proc`, the automount directory, then device numbers.
/// Prints a [`ProcessScan`] as JSON.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    let [proc, automount, devices @ ..] = arguments else {
        return ExitCode::FAILURE;
    };
    let scan = scan(Path::new(proc), Path::new(automount), devices);
    match serde_json::to_writer(std::io::stdout(), &scan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Scans all processes for users of `devices`, and for namespaces that mount any Windows drive.
#[must_use]
pub fn scan(proc: &Path, automount: &Path, devices: &[String]) -> ProcessScan {
    let mut found = ProcessScan {
        complete: true,
        ..ProcessScan::default()
    };
    // Mount ids are unique across namespaces. Each mount is reported for one process.
    let mut reported: BTreeSet<i32> = mounts_of(&proc.join("self"))
        .unwrap_or_default()
        .iter()
        .map(|mount| mount.id)
        .collect();
    let mut namespaces: BTreeMap<PathBuf, Vec<Mount>> = BTreeMap::new();
    let mut pids: Vec<i32> = fs::read_dir(proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    for pid in pids {
        let process = proc.join(pid.to_string());
        // Some processes hide the link to their namespace, and cannot hide its mounts.
        let namespace = fs::read_link(process.join("ns/mnt")).unwrap_or_else(|_| process.clone());
        if !namespaces.contains_key(&namespace) {
            let Ok(mounts) = mounts_of(&process) else {
                // A process that has ended has no mounts.
                found.complete &= has_ended(&process);
                continue;
            };
            namespaces.insert(namespace.clone(), mounts);
        }
        let Some(mounts) = namespaces.get(&namespace) else {
            continue;
        };
        let mut uses = Vec::new();
        for mount in mounts.iter().filter(|mount| has_drive_type(mount)) {
            let is_drive = is_drive(mount, automount);
            found.mounted.insert(MountedFileSystem {
                fs_type: mount.fs_type.clone(),
                device: mount.device.to_string(),
                is_drive,
            });
            if (is_drive || is_device(mount, devices)) && reported.insert(mount.id) {
                uses.push(format!("its mount namespace has {}", mount.point.display()));
            }
        }
        uses.extend(uses_of(&process, mounts, devices));
        if is_syncing(&process) {
            found.syncing.push(DriveUser {
                pid,
                command: command(&process),
                uses: Vec::new(),
            });
        }
        if !uses.is_empty() {
            found.users.push(DriveUser {
                pid,
                command: command(&process),
                uses,
            });
        }
    }
    found
}

/// The system call number of `sync` in a 64-bit process.
const SYNC: &str = if cfg!(target_arch = "aarch64") {
    "81"
} else {
    "162"
};

/// Whether a thread of the process is inside `sync(2)` (`proc_pid_syscall(5)`). A thread that was
/// paused or stopped as it left the call is not: the kernel does so where it delivers signals,
/// after the call, and still reports the call's number.
fn is_syncing(process: &Path) -> bool {
    let threads = fs::read_dir(process.join("task")).into_iter().flatten();
    threads.flatten().any(|thread| {
        let text = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        text("syscall").split(' ').next() == Some(SYNC)
            && !is_freezer_function(text("wchan").trim())
            && !text("stack").contains("get_signal+")
    })
}

fn is_device(mount: &Mount, devices: &[String]) -> bool {
    devices.contains(&mount.device.to_string())
}

fn has_ended(process: &Path) -> bool {
    match proc_stat(process) {
        Some(stat) => !stat.is_alive(),
        None => !process.exists(),
    }
}

/// How a process uses one of the devices.
fn uses_of(process: &Path, mounts: &[Mount], devices: &[String]) -> Vec<String> {
    let mut uses = Vec::new();
    for (file, what) in [("cwd", "working directory"), ("root", "root directory")] {
        if let Ok(path) = fs::read_link(process.join(file))
            && is_on(&path, mounts, devices)
        {
            uses.push(format!("{what} {}", path.display()));
        }
    }
    for descriptor in fs::read_dir(process.join("fdinfo"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let Ok(info) = fs::read_to_string(descriptor.path()) else {
            continue;
        };
        let id = info
            .lines()
            .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse::<i32>().ok());
        let is_open = mounts
            .iter()
            .any(|mount| Some(mount.id) == id && is_device(mount, devices));
        if is_open {
            let path = fs::read_link(process.join("fd").join(descriptor.file_name()));
            let path = path.map_or_else(|_| String::new(), |path| path.display().to_string());
            uses.push(format!("open file {path}"));
        }
    }
    uses.extend(mapped(process, devices));
    uses.dedup();
    uses.truncate(MAX_USES);
    uses
}

/// The mapped files of a process, its program included. Format: `proc_pid_maps(5)`.
fn mapped(process: &Path, devices: &[String]) -> Vec<String> {
    let Ok(maps) = fs::read(process.join("maps")) else {
        return Vec::new();
    };
    let mut found: Vec<String> = String::from_utf8_lossy(&maps)
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(6, ' ');
            let device = fields.nth(3)?;
            let path = fields.nth(1)?.trim_start();
            let (major, minor) = device.split_once(':')?;
            let number = |text| u32::from_str_radix(text, 16).ok();
            let device = format!("{}:{}", number(major)?, number(minor)?);
            devices
                .contains(&device)
                .then(|| format!("mapped file {path}"))
        })
        .collect();
    found.dedup();
    found
}

/// Whether a path is on one of the devices: the last of the innermost mounts that contain it.
fn is_on(path: &Path, mounts: &[Mount], devices: &[String]) -> bool {
    let innermost = mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count());
    innermost.is_some_and(|mount| is_device(mount, devices))
}

fn command(process: &Path) -> String {
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&words)
        .trim_end_matches('\0')
        .replace('\0', " ");
    if line.is_empty() {
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        return format!("[{}]", name.trim());
    }
    line.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const MOUNTS: &str = "24 1 8:1 / / rw - ext4 /dev/sda rw\n\
                          75 24 0:44 / /mnt/c rw - 9p C:\\134 rw\n";

    fn process(proc: &Path, pid: i32, namespace: &str, mounts: &str) -> PathBuf {
        let dir = proc.join(pid.to_string());
        for inner in ["ns", "fd", "fdinfo"] {
            fs::create_dir_all(dir.join(inner)).unwrap();
        }
        symlink(namespace, dir.join("ns/mnt")).unwrap();
        symlink("/home", dir.join("cwd")).unwrap();
        symlink("/", dir.join("root")).unwrap();
        fs::write(dir.join("mountinfo"), mounts).unwrap();
        fs::write(dir.join("cmdline"), format!("program\0{pid}\0")).unwrap();
        dir
    }

    #[test]
    fn every_way_to_use_a_drive_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path();
        let own = process(proc, 1, "mnt:[1]", MOUNTS);
        symlink(&own, proc.join("self")).unwrap();
        let cwd = process(proc, 2, "mnt:[1]", MOUNTS);
        fs::remove_file(cwd.join("cwd")).unwrap();
        symlink("/mnt/c/work", cwd.join("cwd")).unwrap();
        let file = process(proc, 3, "mnt:[1]", MOUNTS);
        fs::write(file.join("fdinfo/4"), "pos:\t0\nflags:\t02\nmnt_id:\t75\n").unwrap();
        symlink("/mnt/c/a file", file.join("fd/4")).unwrap();
        let mapped = process(proc, 4, "mnt:[1]", MOUNTS);
        let maps = "7f00-7f01 r-xp 00000000 08:01 99      /usr/bin/x\n\
                    7f02-7f03 r-xp 00000000 00:2c 42      /mnt/c/lib x.so\n";
        fs::write(mapped.join("maps"), maps).unwrap();
        // Two processes share a namespace that mounts the drive elsewhere: the first one is
        // reported.
        let other = MOUNTS.replace("75 24 0:44 / /mnt/c", "91 24 0:44 / /private");
        process(proc, 5, "mnt:[2]", &other);
        process(proc, 6, "mnt:[2]", &other);
        let rooted = process(
            proc,
            7,
            "mnt:[3]",
            "1 0 0:44 /rootfs / rw - 9p C:\\134 rw\n",
        );
        fs::remove_file(rooted.join("cwd")).unwrap();
        symlink("/", rooted.join("cwd")).unwrap();
        // This process hides the link to its namespace.
        let innocent = MOUNTS.replace("75 24 0:44 / /mnt/c", "92 24 0:45 / /srv/c");
        let innocent = innocent.replace("C:\\134", "share");
        let syncing = process(proc, 8, "mnt:[4]", &innocent);
        fs::remove_file(syncing.join("ns/mnt")).unwrap();
        fs::create_dir_all(syncing.join("task/9")).unwrap();
        let call = format!("{SYNC} 0x0 0x7fff 0x0 0x0 0x0 0x0 0x7ffe 0x7ffd\n");
        fs::write(syncing.join("task/9/syscall"), &call).unwrap();
        let paused = process(proc, 9, "mnt:[1]", MOUNTS);
        fs::create_dir_all(paused.join("task/9")).unwrap();
        fs::write(paused.join("task/9/syscall"), &call).unwrap();
        fs::write(paused.join("task/9/wchan"), "do_freezer_trap").unwrap();
        fs::create_dir_all(paused.join("task/10")).unwrap();
        fs::write(paused.join("task/10/syscall"), &call).unwrap();
        let stack = "[<0>] get_signal+0x1e3/0x880\n[<0>] arch_do_signal_or_restart+0x4c/0x270\n";
        fs::write(paused.join("task/10/stack"), stack).unwrap();

        let scan = scan(proc, Path::new("/mnt"), &["0:44".to_owned()]);
        let users: Vec<String> = scan.users.iter().map(DriveUser::to_string).collect();
        assert_eq!(
            users,
            [
                "pid 2 (program 2): working directory /mnt/c/work",
                "pid 3 (program 3): open file /mnt/c/a file",
                "pid 4 (program 4): mapped file /mnt/c/lib x.so",
                "pid 5 (program 5): its mount namespace has /private",
                "pid 7 (program 7): its mount namespace has /, working directory /, root directory /",
            ]
        );
        assert!(scan.complete);
        assert_eq!(scan.syncing.len(), 1);
        assert_eq!(scan.syncing[0].to_string(), "pid 8 (program 8)");
        let mounted: Vec<&str> = scan
            .mounted
            .iter()
            .map(|mounted| mounted.device.as_str())
            .collect();
        assert_eq!(mounted, ["0:44", "0:45"]);
        let drives: Vec<bool> = scan
            .mounted
            .iter()
            .map(|mounted| mounted.is_drive)
            .collect();
        assert_eq!(drives, [true, false]);
    }

    #[test]
    fn a_process_with_unreadable_mounts_makes_a_scan_incomplete_unless_it_is_a_zombie() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, stat) in [(1, "1 (x) S 0"), (2, "2 (a b) Z 0")] {
            let process = dir.path().join(pid.to_string());
            fs::create_dir(&process).unwrap();
            fs::write(process.join("stat"), stat).unwrap();
            assert_eq!(
                scan(dir.path(), Path::new("/mnt"), &[]).complete,
                stat.contains('Z'),
                "{stat}"
            );
            fs::remove_dir_all(process).unwrap();
        }
    }
}
