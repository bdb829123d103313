//! The bodies of the fuzz targets. `tests/fuzz/` includes this file and runs the same bodies on every file of
//! the corpus.
//!
//! A body panics on a fault: by itself, or by an assertion about a property of every input.

mod bmap;
mod console;
mod content;
mod files;
mod hashes;
mod journal;
mod kas;
mod mountinfo;
mod partitions;
mod ramdisk;
mod variants;

pub use bmap::bmap;
pub use console::console;
pub use content::content;
pub use hashes::hashes;
pub use journal::journal;
pub use kas::kas;
pub use mountinfo::mountinfo;
pub use partitions::partitions;
pub use ramdisk::ramdisk;
pub use variants::variants;

/// The body of a target.
pub type Body = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus.
pub const TARGETS: [(&str, Body); 10] = [
    ("bmap", bmap),
    ("console", console),
    ("content", content),
    ("hashes", hashes),
    ("journal", journal),
    ("kas", kas),
    ("mountinfo", mountinfo),
    ("partitions", partitions),
    ("ramdisk", ramdisk),
    ("variants", variants),
];
