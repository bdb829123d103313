//! Reads `/proc/<pid>/mountinfo`, keeping its order. Format: `proc_pid_mountinfo(5)`. Pure.
//!
//! `procfs-core` parses each line, with two additions: bytes that are not ASCII are escaped first,
//! because a path can hold any byte; and the options are read again from the line, because
//! `procfs-core` drops their order and a mount must be made again with the same options.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use procfs_core::process::{MountInfo, MountOptFields};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Mount id, unique while it is mounted.
    pub id: i32,
    /// Mount id of the parent mount, which is missing in the list if it is outside the process's
    /// root.
    pub parent: i32,
    /// Device number of its files, `st_dev`.
    pub device: DeviceNumber,
    /// The directory of the file system that is mounted: `/`, or another one for a bind mount.
    pub root: PathBuf,
    /// Mount point, relative to the process's root directory.
    pub point: PathBuf,
    /// Options of this mount, such as `rw` and `noatime`, in order and as the kernel writes them.
    pub options: Vec<String>,
    /// Which other mounts see what is mounted and unmounted below this one.
    pub propagation: Propagation,
    /// File system type, with its subtype if it has one: `fuse.sshfs`.
    pub fs_type: String,
    /// The mounted thing: a device, a share, `C:\` on WSL; empty for file systems without a source.
    pub source: OsString,
    /// Options of the file system, in order and as the kernel writes them. Some file systems escape
    /// them ([`unescape`] reverses it) and some do not, so `path=C:\123` is ambiguous.
    pub super_options: Vec<String>,
}

/// A device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// The driver; 0 for file systems without a block device.
    pub major: u32,
    /// The device within the driver.
    pub minor: u32,
}

impl std::fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// The peer groups of a mount: `mount_namespaces(7)`, "Shared subtrees".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Propagation {
    /// The peer group that it sends mount events to and receives them from.
    pub shared: Option<u32>,
    /// The peer group that it only receives mount events from.
    pub master: Option<u32>,
    /// The nearest dominant peer group of `master` under the process's root.
    pub propagate_from: Option<u32>,
    /// Whether it cannot be bind-mounted.
    pub unbindable: bool,
}

impl Propagation {
    /// Whether it is in no peer group, so that mounts below it appear nowhere else.
    #[must_use]
    pub fn is_private(self) -> bool {
        self.shared.is_none() && self.master.is_none()
    }
}

impl Mount {
    /// The value of a file system option, as the kernel writes it; empty for an option without
    /// value.
    #[must_use]
    pub fn super_option(&self, name: &str) -> Option<&str> {
        self.super_options.iter().find_map(|option| {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            (key == name).then_some(value)
        })
    }
}

/// A line that is not in the mountinfo format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of mountinfo cannot be read ({why}): {text}")]
pub struct MountInfoFault {
    /// Line number, from 1.
    pub line: usize,
    /// Text of the line, with bytes that are not ASCII as octal escapes.
    pub text: String,
    /// The fault.
    pub why: String,
}

/// All mounts in the order of the file: parents come before children, and the last of several
/// mounts at one mount point is the visible one.
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
    // The error of `procfs-core` names a place in its own source, which helps no reader.
    let read = MountInfo::from_line(text).map_err(|_| "a field is missing or not a number")?;
    let fields: Vec<_> = text.split(' ').collect();
    // The separator follows six mandatory fields and any number of optional ones.
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
        device: device(&read.majmin).ok_or("not a device number")?,
        root: PathBuf::from(unescape(&read.root)),
        point: PathBuf::from(unescape(field(4)?)),
        options: split_options(field(5)?),
        propagation: propagation(&read.opt_fields),
        fs_type: read.fs_type,
        source: unescape(field(separator + 2)?),
        super_options: split_options(field(separator + 3)?),
    })
}

fn device(text: &str) -> Option<DeviceNumber> {
    let (major, minor) = text.split_once(':')?;
    Some(DeviceNumber {
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

/// Reverses the kernel's escapes for blanks, line ends, `#` and `\`: a backslash and three octal
/// digits. Any other backslash stays.
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

/// The line with every byte that is not ASCII as an octal escape, which [`unescape`] reverses.
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

    /// A Windows drive as WSL 2 mounts it over 9p, and other mounts.
    const WSL: &str = "\
        100 61 8:48 / / rw,relatime shared:1 - ext4 /dev/sdd rw,discard,errors=remount-ro,data=ordered\n\
        117 100 0:58 / /mnt/c rw,noatime shared:17 master:3 - 9p C:\\134 rw,dirsync,aname=drvfs;path=C:\\;uid=1000;gid=1000;symlinkroot=/mnt/,mmap,access=client,msize=65536,trans=fd,rfd=5,wfd=5\n\
        118 100 0:59 / /mnt/my\\040disk\\011\\\\x rw,noatime - virtiofs drvfsaC0 rw\n\
        303 98 0:47 / /run ro - tmpfs  ro,size=0k\n";

    #[test]
    fn a_windows_drive_is_read_with_its_options_in_order() {
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
    fn escapes_are_reversed_and_lone_backslashes_stay() {
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
        // A carriage return does not end a line.
        text.extend(b"\r\n");
        assert_eq!(parse(&text).unwrap()[0].super_options, ["rw\r"]);
    }

    #[test]
    fn every_kind_of_propagation_is_read_and_unknown_fields_are_ignored() {
        let read = |fields: &str| {
            let line = format!("1 0 8:1 / / rw {fields}- ext4 none rw");
            parse(line.as_bytes()).unwrap()[0].propagation
        };
        assert_eq!(read(""), Propagation::default());
        assert!(read("unbindable ").unbindable);
        assert_eq!(read("master:7 propagate_from:2 ").propagate_from, Some(2));
        // A later kernel may add fields.
        assert_eq!(read("later:1 shared:5 ").shared, Some(5));
    }

    #[test]
    fn an_error_names_the_line_that_cannot_be_read() {
        for (bad, why) in [
            ("1 0 8:1 / / rw ext4 none rw", "a field is missing"),
            ("x 0 8:1 / / rw - ext4 none rw", "not a number"),
            ("1 0 8 / / rw - ext4 none rw", "not a device number"),
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
