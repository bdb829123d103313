//! What each fuzz target does with an input. `tests/fuzz/` includes this file and does the same
//! with every file of the corpus.
//!
//! A body panics where something is wrong: by itself, or by an assertion about what has to hold for any
//! input whatever.

mod console;
mod files;
mod hashes;
mod mountinfo;
mod partitions;
mod ramdisk;
mod variants;

pub use console::console;
pub use hashes::hashes;
pub use mountinfo::mountinfo;
pub use partitions::partitions;
pub use ramdisk::ramdisk;
pub use variants::variants;

/// A body.
pub type Body = fn(&[u8]);

/// Every target by its name, which is also that of its corpus.
pub const TARGETS: [(&str, Body); 6] = [
    ("console", console),
    ("hashes", hashes),
    ("mountinfo", mountinfo),
    ("partitions", partitions),
    ("ramdisk", ramdisk),
    ("variants", variants),
];
