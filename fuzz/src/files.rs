//! Inputs as files in memory.

use std::fs::File;
use std::io::Write as _;

use rustix::fs::{MemfdFlags, memfd_create};

/// A file with these bytes.
pub(crate) fn holding(bytes: &[u8]) -> File {
    let memory = memfd_create("input", MemfdFlags::CLOEXEC).expect("memory for a file");
    let mut file = File::from(memory);
    file.write_all(bytes).expect("memory for an input");
    file
}
