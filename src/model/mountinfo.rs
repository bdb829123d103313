//! Mounts as `/proc/<pid>/mountinfo` lists them, in its order. The format: `proc_pid_mountinfo(5)`.
//!
//! `procfs-core` reads each line. Its text is made ASCII for that, since a path may hold any byte; and its
//! options, which it keeps without order, are taken from the line once more: what is mounted again must
//! be given them as they were. Knows nothing of files.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use procfs_core::process::{MountInfo, MountOptFields};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number, unique while it is mounted.
    pub id: i32,
    /// The number of the mount that it lies in; of none in the list where that lies outside the root.
    pub parent: i32,
    /// The device number of its files, `st_dev`.
    pub device: Device,
    /// The directory of its file system that is its root.
    pub root: PathBuf,
    /// Where it lies, seen from the root directory of the process.
    pub point: PathBuf,
    /// Options of this mount, such as `rw` and `noatime`, in order and as the kernel writes them.
    pub options: Vec<String>,
    /// Who sees what is mounted and unmounted below it.
    pub propagation: Propagation,
    /// The type of file system, with its subtype where it has one: `fuse.sshfs`.
    pub fs_type: String,
    /// What is mounted, empty where there is nothing to name: a device, a share, `C:\` on WSL.
    pub source: OsString,
    /// Options of the file system, in order and as the kernel writes them. Some file systems escape them
    /// ([`unescape`] undoes it) and some do not, so `path=C:\123` can mean either.
    pub super_options: Vec<String>,
}

/// The number of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// Its driver; 0 for file systems without a block device.
    pub major: u32,
    /// Which of the driver's.
    pub minor: u32,
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// The peer groups of a mount: `mount_namespaces(7)`, "Shared subtrees".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Propagation {
    /// The group whose members see each other's mounts.
    pub shared: Option<u32>,
    /// The group whose mounts it sees, without being seen.
    pub master: Option<u32>,
    /// The nearest group above `master` that is visible below the root of the process.
    pub propagate_from: Option<u32>,
    /// Whether it cannot be bound elsewhere.
    pub unbindable: bool,
}

impl Propagation {
    /// Whether it is in no group: what is mounted below it shows nowhere else.
    #[must_use]
    pub fn is_private(self) -> bool {
        self.shared.is_none() && self.master.is_none()
    }
}

impl Mount {
    /// The value of an option of the file system, as the kernel writes it; empty for one without a value.
    #[must_use]
    pub fn super_option(&self, name: &str) -> Option<&str> {
        self.super_options.iter().find_map(|option| {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            (key == name).then_some(value)
        })
    }
}

/// A line that is none of a mountinfo file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of mountinfo cannot be read ({why}): {text}")]
pub struct MountInfoFault {
    /// Which line, from 1.
    pub line: usize,
    /// Its text, with bytes that are not ASCII as octal escapes.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// All mounts, in the order of the file: what lies in another comes after it, and of several at one place
/// the last is the visible one.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(text: &[u8]) -> Result<Vec<Mount>, MountInfoFault> {
    let mut lines: Vec<_> = text.split(|&byte| byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
        .into_iter()
        .enumerate()
        .map(|(index, bytes)| {
            let text = ascii(bytes);
            line(&text).map_err(|why| MountInfoFault {
                line: index + 1,
                text,
                why,
            })
        })
        .collect()
}

fn line(text: &str) -> Result<Mount, String> {
    // What the reader itself says is where in its own source it gave up.
    let read = MountInfo::from_line(text).map_err(|_| "a field is missing or no number")?;
    let fields: Vec<_> = text.split(' ').collect();
    // The reader has found the separator after the six fields that every line has; were it mistaken, a
    // field that is missing here is an error all the same.
    let separator = fields
        .iter()
        .skip(6)
        .position(|&field| field == "-")
        .map(|at| at + 6)
        .ok_or("no separator `-`")?;
    let field = |at: usize| fields.get(at).copied().ok_or("too few fields");
    if fields.len() > separator + 4 {
        return Err("too many fields".to_owned());
    }
    Ok(Mount {
        id: read.mnt_id,
        parent: read.pid,
        device: device(&read.majmin).ok_or("no device number")?,
        root: PathBuf::from(unescape(&read.root)),
        point: PathBuf::from(unescape(field(4)?)),
        options: split_options(field(5)?),
        propagation: propagation(&read.opt_fields),
        fs_type: read.fs_type,
        source: unescape(field(separator + 2)?),
        super_options: split_options(field(separator + 3)?),
    })
}

fn device(text: &str) -> Option<Device> {
    let (major, minor) = text.split_once(':')?;
    Some(Device {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

fn propagation(fields: &[MountOptFields]) -> Propagation {
    let mut propagation = Propagation::default();
    for field in fields {
        match *field {
            MountOptFields::Shared(group) => propagation.shared = Some(group),
            MountOptFields::Master(group) => propagation.master = Some(group),
            MountOptFields::PropagateFrom(group) => propagation.propagate_from = Some(group),
            MountOptFields::Unbindable => propagation.unbindable = true,
        }
    }
    propagation
}

fn split_options(text: &str) -> Vec<String> {
    text.split(',')
        .filter(|option| !option.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Undoes the escapes with which the kernel writes blanks, line ends, `#` and `\`: a backslash and three
/// octal digits. Any other backslash is one.
#[must_use]
pub fn unescape(text: &str) -> OsString {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match octal(bytes.get(at..at + 4).unwrap_or_default()) {
            Some(value) => {
                plain.push(value);
                at += 4;
            }
            None => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    OsString::from_vec(plain)
}

fn octal(escape: &[u8]) -> Option<u8> {
    let [
        b'\\',
        high @ b'0'..=b'3',
        middle @ b'0'..=b'7',
        low @ b'0'..=b'7',
    ] = escape
    else {
        return None;
    };
    Some((high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'))
}

/// The line with every byte that is not ASCII as an octal escape, which [`unescape`] takes back.
fn ascii(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii() {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("\\{byte:03o}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A drive as WSL2 mounts it over 9p, and its neighbours.
    const WSL: &str = "\
        100 61 8:48 / / rw,relatime shared:1 - ext4 /dev/sdd rw,discard,errors=remount-ro,data=ordered\n\
        117 100 0:58 / /mnt/c rw,noatime shared:17 master:3 - 9p C:\\134 rw,dirsync,aname=drvfs;path=C:\\;uid=1000;gid=1000;symlinkroot=/mnt/,mmap,access=client,msize=65536,trans=fd,rfd=5,wfd=5\n\
        118 100 0:59 / /mnt/my\\040disk\\011\\\\x rw,noatime - virtiofs drvfsaC0 rw\n\
        303 98 0:47 / /run ro - tmpfs  ro,size=0k\n";

    #[test]
    fn a_drive_of_wsl_is_read_with_its_options_in_order() {
        let mounts = parse(WSL.as_bytes()).unwrap();
        assert_eq!(mounts.len(), 4);
        let drive = &mounts[1];
        assert_eq!((drive.id, drive.parent), (117, 100));
        assert_eq!(drive.device.to_string(), "0:58");
        assert_eq!(drive.point, PathBuf::from("/mnt/c"));
        assert_eq!(drive.root, PathBuf::from("/"));
        assert_eq!(drive.options, ["rw", "noatime"]);
        assert_eq!(drive.fs_type, "9p");
        assert_eq!(drive.source, "C:\\");
        assert_eq!(
            drive.super_options,
            [
                "rw",
                "dirsync",
                "aname=drvfs;path=C:\\;uid=1000;gid=1000;symlinkroot=/mnt/",
                "mmap",
                "access=client",
                "msize=65536",
                "trans=fd",
                "rfd=5",
                "wfd=5"
            ]
        );
        assert_eq!(drive.super_option("trans"), Some("fd"));
        assert_eq!(drive.super_option("mmap"), Some(""));
        assert_eq!(drive.super_option("cache"), None);
        assert_eq!(
            drive.propagation,
            Propagation {
                shared: Some(17),
                master: Some(3),
                ..Propagation::default()
            }
        );
        assert!(!drive.propagation.is_private());
        assert!(mounts[2].propagation.is_private());
    }

    #[test]
    fn escapes_are_undone_and_lone_backslashes_stay() {
        let mounts = parse(WSL.as_bytes()).unwrap();
        assert_eq!(mounts[2].point, PathBuf::from("/mnt/my disk\t\\\\x"));
        assert_eq!(
            unescape(r"a\043b\47\9\400\"),
            OsString::from(r"a#b\47\9\400\")
        );
        assert_eq!(mounts[3].source, "");
    }

    #[test]
    fn a_path_may_hold_any_byte() {
        let mut text = b"1 0 8:1 /\xff\xfe /caf\xc3\xa9 rw - ext4 /dev/\xe4 rw".to_vec();
        let mounts = parse(&text).unwrap();
        assert_eq!(mounts[0].root.as_os_str().as_encoded_bytes(), b"/\xff\xfe");
        assert_eq!(mounts[0].point, PathBuf::from("/café"));
        assert_eq!(mounts[0].source.as_encoded_bytes(), b"/dev/\xe4");
        // A carriage return is no end of a line.
        text.extend(b"\r\n");
        assert_eq!(parse(&text).unwrap()[0].super_options, ["rw\r"]);
    }

    #[test]
    fn all_kinds_of_propagation() {
        let read = |fields: &str| {
            let line = format!("1 0 8:1 / / rw {fields}- ext4 none rw");
            parse(line.as_bytes()).unwrap()[0].propagation
        };
        assert_eq!(read(""), Propagation::default());
        assert!(read("unbindable ").unbindable);
        assert_eq!(read("master:7 propagate_from:2 ").propagate_from, Some(2));
        // A field of a later kernel is no fault.
        assert_eq!(read("later:1 shared:5 ").shared, Some(5));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for (bad, why) in [
            ("1 0 8:1 / / rw ext4 none rw", "a field is missing"),
            ("x 0 8:1 / / rw - ext4 none rw", "no number"),
            ("1 0 8 / / rw - ext4 none rw", "no device number"),
            ("1 0 8:1 / / rw - ext4 none rw more", "too many fields"),
            ("1 0 8:1 / / rw shared:x - ext4 none rw", ""),
            ("1 0 8:1 / / rw - ext4 none", ""),
            ("", ""),
        ] {
            let text = format!("1 0 8:1 / / rw - ext4 none rw\n{bad}\n");
            let fault = parse(text.as_bytes()).unwrap_err();
            assert_eq!((fault.line, fault.text.as_str()), (2, bad));
            assert!(fault.why.contains(why), "{fault}");
            let shown = fault.to_string();
            assert!(!shown.contains('\n'), "{shown}");
        }
        assert_eq!(parse(b"").unwrap(), []);
    }
}
