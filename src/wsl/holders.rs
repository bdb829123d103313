//! Who uses a drive: working directories, root directories, open files, programs and mapped files of every
//! process, and the mount namespaces in which it is mounted.
//!
//! Nothing here asks a drive for anything: paths are read and compared with what mountinfo says, device and
//! mount numbers likewise. Only root may look at all processes, so this runs in a child of its own (the hidden
//! subcommand) that can be killed. Processes of other WSL distributions are in other process namespaces and
//! cannot be seen at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::drive::{is_drive, is_of_kind};
use super::machine::mounts_of;
use crate::model::hang::is_pause;
use crate::model::mountinfo::Mount;

/// The hidden subcommand that the binary must hand to [`main`].
pub const SUBCOMMAND: &str = "internal-holders";

/// A process that keeps a drive from going.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its number.
    pub pid: i32,
    /// Its command line, or its name.
    pub command: String,
    /// With what: `working directory`, `open file /mnt/c/x`, …
    pub with: Vec<String>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pid {} ({})", self.pid, self.command)?;
        match self.with.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.with.join(", ")),
        }
    }
}

/// A file system that some namespace mounts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mounted {
    /// Its type.
    pub fs_type: String,
    /// Its device number.
    pub device: String,
    /// Whether it is a drive of Windows where it was seen.
    pub is_drive: bool,
}

/// What was seen in all processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// Who uses the drives that were asked for.
    pub holders: Vec<Holder>,
    /// The file systems of a drive's kind that some namespace mounts.
    pub mounted: BTreeSet<Mounted>,
    /// Who is inside `sync(2)`.
    pub syncing: Vec<Holder>,
    /// Whether the mounts of every process are known.
    pub complete: bool,
}

/// The subcommand's whole life: the directory of processes, that below which WSL mounts drives, then device
/// numbers; JSON on stdout.
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

/// Looks through all processes for who uses the devices, or any other drive of Windows.
#[must_use]
pub fn scan(proc: &Path, automount: &Path, devices: &[String]) -> Scan {
    let mut found = Scan {
        complete: true,
        ..Scan::default()
    };
    // A mount has the same number for all who see it, and each namespace has mounts of its own.
    let mut said: BTreeSet<i32> = mounts_of(&proc.join("self"))
        .unwrap_or_default()
        .iter()
        .map(|mount| mount.id)
        .collect();
    let mut namespaces: BTreeMap<PathBuf, Vec<Mount>> = BTreeMap::new();
    let mut numbers: Vec<i32> = fs::read_dir(proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    for pid in numbers {
        let process = proc.join(pid.to_string());
        // Some let nobody see which namespace is theirs; what it mounts they cannot hide.
        let namespace = fs::read_link(process.join("ns/mnt")).unwrap_or_else(|_| process.clone());
        if !namespaces.contains_key(&namespace) {
            let Ok(mounts) = mounts_of(&process) else {
                // One that has ended, or is ending, mounts nothing.
                found.complete &= has_ended(&process);
                continue;
            };
            namespaces.insert(namespace.clone(), mounts);
        }
        let Some(mounts) = namespaces.get(&namespace) else {
            continue;
        };
        let mut with = Vec::new();
        for mount in mounts.iter().filter(|mount| is_of_kind(mount)) {
            let is_drive = is_drive(mount, automount);
            found.mounted.insert(Mounted {
                fs_type: mount.fs_type.clone(),
                device: mount.device.to_string(),
                is_drive,
            });
            if (is_drive || is_asked(mount, devices)) && said.insert(mount.id) {
                with.push(format!("its mount namespace has {}", mount.point.display()));
            }
        }
        with.extend(uses(&process, mounts, devices));
        if is_syncing(&process) {
            found.syncing.push(Holder {
                pid,
                command: command(&process),
                with: Vec::new(),
            });
        }
        if !with.is_empty() {
            found.holders.push(Holder {
                pid,
                command: command(&process),
                with,
            });
        }
    }
    found
}

/// The number of `sync` among the system calls of a 64-bit process.
const SYNC: &str = if cfg!(target_arch = "aarch64") {
    "81"
} else {
    "162"
};

/// Whether one of its threads is inside `sync(2)` (`proc_pid_syscall(5)`). One that was paused or stopped on its
/// way out of it is not: the kernel does so where it delivers signals, once the call is done, and goes on telling
/// of that call.
fn is_syncing(process: &Path) -> bool {
    let threads = fs::read_dir(process.join("task")).into_iter().flatten();
    threads.flatten().any(|thread| {
        let text = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        text("syscall").split(' ').next() == Some(SYNC)
            && !is_pause(text("wchan").trim())
            && !text("stack").contains("get_signal+")
    })
}

fn is_asked(mount: &Mount, devices: &[String]) -> bool {
    devices.contains(&mount.device.to_string())
}

fn has_ended(process: &Path) -> bool {
    match fs::read(process.join("stat")) {
        Ok(stat) => {
            let stat = String::from_utf8_lossy(&stat);
            stat.rsplit_once(')').is_some_and(|(_, fields)| {
                matches!(fields.trim_start().chars().next(), Some('Z' | 'X'))
            })
        }
        Err(_) => !process.exists(),
    }
}

/// What a process has on one of the devices.
fn uses(process: &Path, mounts: &[Mount], devices: &[String]) -> Vec<String> {
    let mut with = Vec::new();
    for (file, what) in [("cwd", "working directory"), ("root", "root directory")] {
        if let Ok(path) = fs::read_link(process.join(file))
            && lies_on(&path, mounts, devices)
        {
            with.push(format!("{what} {}", path.display()));
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
        let is_on = mounts
            .iter()
            .any(|mount| Some(mount.id) == id && is_asked(mount, devices));
        if is_on {
            let path = fs::read_link(process.join("fd").join(descriptor.file_name()));
            let path = path.map_or_else(|_| String::new(), |path| path.display().to_string());
            with.push(format!("open file {path}"));
        }
    }
    with.extend(mapped(process, devices));
    with.dedup();
    with.truncate(8);
    with
}

/// The program itself is mapped, too. Columns of maps: `proc_pid_maps(5)`.
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

/// Whether the mount that a path of a process lies in, the innermost and last, is one of the devices.
fn lies_on(path: &Path, mounts: &[Mount], devices: &[String]) -> bool {
    let innermost = mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count());
    innermost.is_some_and(|mount| is_asked(mount, devices))
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
    fn every_way_to_hold_a_drive_is_seen() {
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
        // Mounted elsewhere, in two processes of one namespace: it is said of the first.
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
        // One that hides its namespace.
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
        let said: Vec<String> = scan.holders.iter().map(Holder::to_string).collect();
        assert_eq!(
            said,
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
    fn a_process_that_lets_nobody_look_makes_it_incomplete_and_a_zombie_does_not() {
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
