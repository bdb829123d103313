//! Windows drives among the mounts of a namespace, and the options with which one is mounted again.
//! Pure.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::mountinfo::{DeviceNumber, Mount};

/// A mount of a Windows drive, with everything that is needed to mount it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowsDrive {
    /// Mount point.
    pub point: PathBuf,
    /// `9p`, `drvfs` or `virtiofs`.
    pub fs_type: String,
    /// Mount source: `C:\`, or a tag.
    pub source: String,
    /// Device number of its files. Each superblock has its own.
    pub device: String,
    /// The directory of the file system that is mounted: `/`, or another one for a bind mount.
    pub root: PathBuf,
    /// Options of the mount.
    pub options: Vec<String>,
    /// Options of the file system.
    pub super_options: Vec<String>,
    /// Whether it propagates mounts below it to a peer group.
    pub shared: bool,
    /// Whether it receives mounts from a peer group.
    pub slave: bool,
}

/// The mounts of a namespace that matter to the guard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DriveMounts {
    /// The Windows drives, in mount order.
    pub drives: Vec<WindowsDrive>,
    /// Other mounts inside a drive, with their types. They keep the drive from being unmounted.
    pub inside: Vec<(PathBuf, String)>,
    /// Writable file systems of the same types that are not Windows drives; `sync(2)` waits for
    /// them too.
    pub others: Vec<(PathBuf, String)>,
}

/// The file system types that a Windows drive can have.
const DRIVE_TYPES: [&str; 3] = ["9p", "drvfs", "virtiofs"];

/// Whether the mount has a file system type that a Windows drive can have.
#[must_use]
pub(super) fn has_drive_type(mount: &Mount) -> bool {
    DRIVE_TYPES.contains(&mount.fs_type.as_str())
}

/// Sorts mounts into drives and others. `automount` is the directory in which WSL mounts drives.
///
/// Read-only shares that WSL mounts for itself, such as `/usr/lib/wsl/drivers`, are left out:
/// `sync(2)` skips read-only superblocks.
#[must_use]
pub fn classify(mounts: &[Mount], automount: &Path) -> DriveMounts {
    let mut found = DriveMounts::default();
    let devices: Vec<DeviceNumber> = mounts
        .iter()
        .filter(|mount| has_drive_type(mount) && is_drive(mount, automount))
        .map(|mount| mount.device)
        .collect();
    let mut ids = Vec::new();
    for mount in mounts {
        if has_drive_type(mount) && devices.contains(&mount.device) {
            ids.push(mount.id);
            found.drives.push(WindowsDrive::of(mount));
        } else if ids.contains(&mount.parent) {
            // A mount inside this mount is inside the drive too.
            ids.push(mount.id);
            found
                .inside
                .push((mount.point.clone(), mount.fs_type.clone()));
        } else if has_drive_type(mount) && mount.super_option("ro").is_none() {
            found
                .others
                .push((mount.point.clone(), mount.fs_type.clone()));
        }
    }
    found
}

/// Whether a mount with a drive's type is a Windows drive, judged by its mount point or its
/// options.
pub(super) fn is_drive(mount: &Mount, automount: &Path) -> bool {
    // Only a letter counts: with `root = /` every mount is below the automount directory.
    let letter = mount.point.file_name().is_some_and(
        |name| matches!(name.as_encoded_bytes(), [letter] if letter.is_ascii_alphabetic()),
    );
    let below = letter && mount.point.parent() == Some(automount);
    let named = mount
        .super_option("aname")
        .is_some_and(|aname| aname.starts_with("drvfs"));
    let source = mount.source.to_string_lossy();
    below || mount.fs_type == "drvfs" || named || is_windows_path(&source)
}

/// Whether it is `C:`, `C:\`, a path below it, or `\\server\share`.
fn is_windows_path(source: &str) -> bool {
    let mut characters = source.chars();
    let letter = characters
        .next()
        .is_some_and(|letter| letter.is_ascii_alphabetic());
    (letter
        && characters.next() == Some(':')
        && matches!(characters.next(), None | Some('\\' | '/')))
        || source.starts_with("\\\\")
}

impl WindowsDrive {
    pub(super) fn of(mount: &Mount) -> WindowsDrive {
        WindowsDrive {
            point: mount.point.clone(),
            fs_type: mount.fs_type.clone(),
            source: mount.source.to_string_lossy().into_owned(),
            device: mount.device.to_string(),
            root: mount.root.clone(),
            options: mount.options.clone(),
            super_options: mount.super_options.clone(),
            shared: mount.propagation.shared.is_some(),
            slave: mount.propagation.master.is_some(),
        }
    }

    fn super_option(&self, name: &str) -> Option<&str> {
        self.super_options.iter().find_map(|option| {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            (key == name).then_some(value)
        })
    }

    /// How `other` differs from this one, apart from numbers that each mount gets anew.
    #[must_use]
    pub fn differences(&self, other: &WindowsDrive) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, mine: String, theirs: String| {
            if mine != theirs {
                found.push(format!("{what} {theirs} instead of {mine}"));
            }
        };
        compare("type", self.fs_type.clone(), other.fs_type.clone());
        compare("source", self.source.clone(), other.source.clone());
        compare("root", shown(&self.root), shown(&other.root));
        compare(
            "options",
            comparable(&self.options),
            comparable(&other.options),
        );
        compare(
            "options",
            comparable(&self.super_options),
            comparable(&other.super_options),
        );
        let propagation = |drive: &WindowsDrive| match (drive.shared, drive.slave) {
            (true, true) => "shared and slave",
            (true, false) => "shared",
            (false, true) => "slave",
            (false, false) => "private",
        };
        compare(
            "propagation",
            propagation(self).to_owned(),
            propagation(other).to_owned(),
        );
        found
    }

    /// Whether `part` can be a bind mount of a directory of this drive.
    pub(super) fn can_contain(&self, part: &WindowsDrive) -> bool {
        self.root == Path::new("/") && self.source == part.source
    }

    /// Whether `other` has the same file system options.
    pub(super) fn has_super_options_of(&self, other: &WindowsDrive) -> bool {
        comparable(&self.super_options) == comparable(&other.super_options)
    }

    /// Whether `other` has the same mount options.
    pub(super) fn has_options_of(&self, other: &WindowsDrive) -> bool {
        comparable(&self.options) == comparable(&other.options)
    }

    /// Whether only drvfs can mount it: its connection to Windows is an inherited file descriptor.
    #[must_use]
    pub fn needs_drvfs(&self) -> bool {
        self.fs_type == "drvfs" || self.super_option("trans") == Some("fd")
    }

    /// Source and options for `mount -t drvfs`. WSL stores the options of drvfs in `aname`,
    /// separated by semicolons, and adds `symlinkroot` and the transport by itself (microsoft/WSL,
    /// `src/linux/init/drvfs.cpp`).
    #[must_use]
    pub fn for_drvfs(&self) -> (String, Vec<String>) {
        let mut source = self.source.clone();
        let mut options = self.options.clone();
        for option in &self.super_options {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "aname" => {
                    for word in value.split(';').skip(1) {
                        match word.split_once('=') {
                            Some(("path", path)) => source = path.to_owned(),
                            Some(("symlinkroot", _)) => {}
                            _ => options.push(word.to_owned()),
                        }
                    }
                }
                "trans" | "msize" | "access" | "version" => {}
                _ if is_number_of_a_mount(key) || is_cache(key) => {}
                _ => options.push(option.clone()),
            }
        }
        (drvfs_source(&source), without_repeats(options))
    }

    /// Options for `mount -t <type>`.
    #[must_use]
    pub fn for_mount(&self) -> Vec<String> {
        let super_options = self.super_options.iter().filter_map(|option| {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                _ if is_number_of_a_mount(key) => None,
                // Before Linux 6.4 the kernel prints the cache mode without its key; since then as
                // a hexadecimal number without 0x.
                "mmap" | "loose" | "fscache" if value.is_empty() => Some(format!("cache={key}")),
                "cache" if value.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                    Some(format!("cache=0x{value}"))
                }
                _ => Some(option.clone()),
            }
        });
        without_repeats(self.options.iter().cloned().chain(super_options).collect())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// drvfs takes a whole drive as `C:`, and a path on it with either slash.
fn drvfs_source(source: &str) -> String {
    match source.strip_suffix(['\\', '/']) {
        Some(drive) if drive.len() == 2 && drive.ends_with(':') => drive.to_owned(),
        _ => source.to_owned(),
    }
}

fn is_number_of_a_mount(key: &str) -> bool {
    matches!(key, "rfd" | "wfd" | "rfdno" | "wfdno")
}

fn is_cache(key: &str) -> bool {
    matches!(key, "cache" | "mmap" | "loose" | "fscache")
}

fn without_repeats(options: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for option in options {
        if !kept.contains(&option) {
            kept.push(option);
        }
    }
    // The mount options can say `rw` although the file system is `ro`. `ro` must win.
    if kept.iter().any(|option| option == "ro") {
        kept.retain(|option| option != "rw");
    }
    kept
}

/// The options without file descriptor numbers, sorted.
fn comparable(options: &[String]) -> String {
    let mut kept: Vec<&str> = options
        .iter()
        .map(String::as_str)
        .filter(|option| !is_number_of_a_mount(option.split('=').next().unwrap_or(option)))
        .collect();
    kept.sort_unstable();
    kept.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::mountinfo::parse;

    const WSL: &str = r"24 1 8:32 / / rw,relatime shared:1 - ext4 /dev/sdc rw,discard
30 24 0:25 / /usr/lib/wsl/drivers ro,nosuid,nodev,noatime - 9p drivers ro,dirsync,aname=drivers;fmask=222;dmask=222,mmap,access=client,msize=65536,trans=fd,rfd=8,wfd=8
75 24 0:44 / /mnt/c rw,noatime shared:20 - 9p C:\134 rw,dirsync,aname=drvfs;path=C:\;uid=1000;gid=1000;metadata;umask=22;symlinkroot=/mnt/,mmap,access=client,msize=262144,trans=fd,rfd=5,wfd=5
76 24 0:45 / /mnt/d rw,nosuid,noatime - 9p drvfs rw,dirsync,aname=drvfs;path=D:\;uid=1000;gid=1000;symlinkroot=/mnt/,cache=5,access=client,msize=262144,trans=virtio
77 24 0:44 /Users/me /home/me/win rw,noatime shared:20 - 9p C:\134 rw,dirsync,aname=drvfs;path=C:\;uid=1000;gid=1000;metadata;umask=22;symlinkroot=/mnt/,mmap,access=client,msize=262144,trans=fd,rfd=5,wfd=5
78 75 0:50 / /mnt/c/tmp rw - tmpfs tmpfs rw
79 24 0:51 / /mnt/wsl rw,relatime shared:2 - tmpfs none rw
80 24 0:52 / /srv/share rw,relatime - 9p host rw,access=client,trans=virtio
81 24 0:53 / /data/e rw - 9p E: rw,aname=drvfs;path=E:,trans=fd,rfd=9,wfd=9
";

    fn found() -> DriveMounts {
        classify(&parse(WSL.as_bytes()).unwrap(), Path::new("/mnt/"))
    }

    #[test]
    fn drives_are_told_apart_from_other_shares() {
        let found = found();
        let points: Vec<&Path> = found
            .drives
            .iter()
            .map(|drive| drive.point.as_path())
            .collect();
        assert_eq!(
            points,
            ["/mnt/c", "/mnt/d", "/home/me/win", "/data/e"].map(Path::new)
        );
        assert_eq!(
            found.inside,
            [(PathBuf::from("/mnt/c/tmp"), "tmpfs".to_owned())]
        );
        assert_eq!(
            found.others,
            [(PathBuf::from("/srv/share"), "9p".to_owned())]
        );
    }

    #[test]
    fn below_an_automount_root_of_slash_only_single_letters_are_drives() {
        let mounts = r"24 1 8:32 / / rw shared:1 - ext4 /dev/sdc rw
75 24 0:44 / /c rw - virtiofs drvfsaC rw
76 24 0:45 / /srv/share rw - 9p host rw,trans=virtio
77 24 0:46 / /share rw - 9p host2 rw,trans=virtio
78 24 0:47 / /data rw - 9p drvfs rw,aname=drvfs;path=D:\,trans=fd
";
        let found = classify(&parse(mounts.as_bytes()).unwrap(), Path::new("/"));
        let points = found.drives.iter().map(|drive| drive.point.as_path());
        assert!(points.eq(["/c", "/data"].map(Path::new)));
        let others = found.others.iter().map(|(point, _)| point.as_path());
        assert!(others.eq(["/srv/share", "/share"].map(Path::new)));
    }

    #[test]
    fn a_bind_mount_belongs_to_the_drive_with_the_same_file_system_options() {
        let drives = found().drives;
        let (whole, part) = (&drives[0], &drives[2]);
        assert!(
            whole.can_contain(part) && whole.has_super_options_of(part) && !part.can_contain(whole)
        );
        let mut other = whole.clone();
        for option in &mut other.super_options {
            *option = option.replace("uid=1000", "uid=0");
        }
        assert_eq!(other.super_options.len(), part.super_options.len());
        assert!(other.can_contain(part) && !other.has_super_options_of(part));
    }

    #[test]
    fn options_are_translated_for_drvfs_and_for_mount() {
        let drives = found().drives;
        let (source, options) = drives[0].for_drvfs();
        assert!(drives[0].needs_drvfs() && !drives[1].needs_drvfs());
        assert_eq!(source, "C:");
        assert_eq!(
            options.join(","),
            "rw,noatime,dirsync,uid=1000,gid=1000,metadata,umask=22"
        );
        assert_eq!(
            drives[1].for_mount().join(","),
            "rw,nosuid,noatime,dirsync,aname=drvfs;path=D:\\;uid=1000;gid=1000;symlinkroot=/mnt/,\
             cache=0x5,access=client,msize=262144,trans=virtio"
        );
        assert!(drives[0].for_mount().contains(&"cache=mmap".to_owned()));
    }

    #[test]
    fn descriptor_numbers_and_option_order_are_no_difference_and_options_are() {
        let drive = found().drives.remove(0);
        let mut other = drive.clone();
        other.device = "0:99".to_owned();
        other.super_options.reverse();
        for option in &mut other.super_options {
            if option.starts_with("rfd=") || option.starts_with("wfd=") {
                option.push('7');
            }
        }
        assert_eq!(drive.differences(&other), Vec::<String>::new());
        other.options.retain(|option| option != "noatime");
        other.shared = false;
        assert_eq!(
            drive.differences(&other),
            [
                "options rw instead of noatime,rw",
                "propagation private instead of shared"
            ]
        );
    }

    #[test]
    fn windows_paths_are_recognized() {
        for path in ["C:", "c:\\", "D:\\data", "\\\\server\\share", "E:/x"] {
            assert!(is_windows_path(path), "{path}");
        }
        for path in ["", "host", "C", "C:x", "/dev/sda", "1:"] {
            assert!(!is_windows_path(path), "{path}");
        }
    }
}
