//! Target `mountinfo`: every line becomes a mount, in order and without loss, or the error names a line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use isar_build_all::host::mountinfo::{Mount, parse};

/// Parses any bytes.
pub fn mountinfo(data: &[u8]) {
    let mounts = match parse(data) {
        Ok(mounts) => mounts,
        Err(fault) => {
            let lines = data.split(|&byte| byte == b'\n').count();
            assert!((1..=lines).contains(&fault.line));
            assert!(fault.text.is_ascii() && !fault.text.contains('\n'));
            return;
        }
    };
    let text: Vec<u8> = mounts.iter().flat_map(written).collect();
    assert_eq!(parse(&text).as_ref(), Ok(&mounts));
    let lines = data
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    assert_eq!(lines.count(), mounts.len());
}

/// The line of a mount, as the kernel writes it.
fn written(mount: &Mount) -> Vec<u8> {
    let groups = mount.propagation;
    let numbered = |name: &str, group: Option<u32>| {
        group.map_or_else(String::new, |group| format!("{name}:{group} "))
    };
    let mut line = format!("{} {} {} ", mount.id, mount.parent, mount.device).into_bytes();
    for path in [&mount.root, &mount.point] {
        line.extend(escaped(path.as_os_str()));
        line.push(b' ');
    }
    line.extend(mount.options.join(",").bytes());
    line.push(b' ');
    line.extend(numbered("shared", groups.shared).bytes());
    line.extend(numbered("master", groups.master).bytes());
    line.extend(numbered("propagate_from", groups.propagate_from).bytes());
    if groups.unbindable {
        line.extend(b"unbindable ");
    }
    line.extend(format!("- {} ", mount.fs_type).bytes());
    line.extend(escaped(&mount.source));
    line.push(b' ');
    line.extend(mount.super_options.join(",").bytes());
    line.push(b'\n');
    line
}

fn escaped(text: &OsStr) -> Vec<u8> {
    let mut escaped = Vec::new();
    for &byte in text.as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => {
                escaped.extend(format!("\\{byte:03o}").bytes());
            }
            byte => escaped.push(byte),
        }
    }
    escaped
}
