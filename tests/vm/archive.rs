//! Writes a cpio archive as the kernel unpacks it at its start ("newc"; kernel documentation,
//! driver-api/early-userspace/buffer-format). Everything in it is root's, whoever writes it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

pub(crate) struct Archive {
    out: BufWriter<fs::File>,
    made: BTreeSet<PathBuf>,
}

impl Archive {
    pub(crate) fn create(path: &Path) -> Archive {
        Archive {
            out: BufWriter::new(fs::File::create(path).unwrap()),
            made: BTreeSet::new(),
        }
    }

    pub(crate) fn directory(&mut self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        if path.parent().is_none() || !self.made.insert(path.to_owned()) {
            return;
        }
        self.directory(path.parent().unwrap());
        self.entry(path, DIRECTORY | 0o755, &[]);
    }

    pub(crate) fn link(&mut self, path: impl AsRef<Path>, target: &str) {
        if self.is_new(path.as_ref()) {
            self.entry(path.as_ref(), LINK | 0o777, target.as_bytes());
        }
    }

    pub(crate) fn file(&mut self, path: impl AsRef<Path>, mode: u32, contents: &[u8]) {
        if self.is_new(path.as_ref()) {
            self.entry(path.as_ref(), FILE | mode, contents);
        }
    }

    pub(crate) fn finish(mut self) {
        self.made.clear();
        self.entry(Path::new("/TRAILER!!!"), 0, &[]);
        self.out.flush().unwrap();
    }

    fn is_new(&mut self, path: &Path) -> bool {
        self.directory(path.parent().unwrap());
        self.made.insert(path.to_owned())
    }

    fn entry(&mut self, path: &Path, mode: u32, contents: &[u8]) {
        let name = path.to_str().unwrap().trim_start_matches('/');
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        // Inode numbers that differ, or the kernel would take files for links of one another.
        let inode = u32::try_from(self.made.len()).unwrap();
        let size = u32::try_from(contents.len()).unwrap();
        let name_size = u32::try_from(name.len() + 1).unwrap();
        let mut header = "070701".to_owned();
        for field in [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
            header.push_str(&format!("{field:08X}"));
        }
        header.push_str(name);
        header.push('\0');
        self.padded(header.as_bytes());
        self.padded(contents);
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.out.write_all(bytes).unwrap();
        let zeros = bytes.len().next_multiple_of(4) - bytes.len();
        self.out.write_all(&[0; 3][..zeros]).unwrap();
    }
}
