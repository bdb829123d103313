//! The format that an artifact must have: the one of its name, unless `format` in variants.toml overrides it.

use std::fmt;
use std::str::FromStr;

/// The formats that a name or `format` can require.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A disk image with a partition table.
    Disk,
    /// A kernel, compressed or not, or an EFI program.
    Kernel,
    /// An initial RAM disk.
    Initrd,
    /// A tar archive, compressed or not.
    Tar,
    /// An ext2, ext3 or ext4 file system.
    Ext4,
    /// A squashfs file system.
    Squashfs,
    /// A FAT file system.
    Fat,
    /// A block map of bmaptool.
    Bmap,
    /// Compressed data with any content.
    Compressed,
    /// Any file.
    Any,
}

/// Endings of names and their formats; the first match counts. Kernels have other names and need no format,
/// because the formats of some architectures' kernels are unknown here.
const NAMES: &[(&[&str], Format)] = &[
    (&[".wic"], Format::Disk),
    (&[".bmap"], Format::Bmap),
    (
        &[
            "initrd.img",
            ".cpio",
            ".cpio.gz",
            ".cpio.xz",
            ".cpio.zst",
            ".cpio.lz4",
        ],
        Format::Initrd,
    ),
    (
        &[
            ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar.bz2", ".tar.lz4",
        ],
        Format::Tar,
    ),
    (&[".ext2", ".ext3", ".ext4"], Format::Ext4),
    (&[".squashfs"], Format::Squashfs),
    (&[".vfat", ".fat"], Format::Fat),
    (&[".gz", ".xz", ".zst", ".bz2", ".lz4"], Format::Compressed),
];

impl Format {
    /// Every format.
    pub const ALL: [Format; 10] = [
        Format::Disk,
        Format::Kernel,
        Format::Initrd,
        Format::Tar,
        Format::Ext4,
        Format::Squashfs,
        Format::Fat,
        Format::Bmap,
        Format::Compressed,
        Format::Any,
    ];

    /// The word for it in variants.toml.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Disk => "disk",
            Format::Kernel => "kernel",
            Format::Initrd => "initrd",
            Format::Tar => "tar",
            Format::Ext4 => "ext4",
            Format::Squashfs => "squashfs",
            Format::Fat => "fat",
            Format::Bmap => "bmap",
            Format::Compressed => "compressed",
            Format::Any => "any",
        }
    }

    /// The format in a sentence, with its article.
    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Format::Disk => "a disk image",
            Format::Kernel => "a kernel",
            Format::Initrd => "an initial RAM disk",
            Format::Tar => "a tar archive",
            Format::Ext4 => "an ext4 file system",
            Format::Squashfs => "a squashfs file system",
            Format::Fat => "a FAT file system",
            Format::Bmap => "a block map",
            Format::Compressed => "compressed data",
            Format::Any => "any file",
        }
    }

    /// The format that a file name requires.
    #[must_use]
    pub fn of_name(name: &str) -> Format {
        NAMES
            .iter()
            .find(|(ends, _)| ends.iter().any(|end| name.ends_with(end)))
            .map_or(Format::Any, |(_, format)| *format)
    }
}

/// An unknown name of a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a format of an artifact")]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        Format::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        let said = [
            "image.wic",
            "image.wic.bmap",
            "image.wic.zst",
            "image-initrd.img",
            "rootfs.cpio.gz",
            "rootfs.tar.xz",
            "root.squashfs",
            "image-vmlinuz",
            "update.swu",
            "wic",
        ]
        .map(|name| format!("{name}: {}", Format::of_name(name)));
        insta::assert_snapshot!(said.join("\n"), @"
        image.wic: disk
        image.wic.bmap: bmap
        image.wic.zst: compressed
        image-initrd.img: initrd
        rootfs.cpio.gz: initrd
        rootfs.tar.xz: tar
        root.squashfs: squashfs
        image-vmlinuz: any
        update.swu: any
        wic: any
        ");
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        assert!("wic".parse::<Format>().is_err());
    }
}
