//! Inspection of a file: its format and its faults.
//!
//! The content of a file decides its format, not its name; the caller knows which format it should have.
//! Nothing is mounted, no privilege is needed, and memory stays bounded for any content (see `source`).

mod archive;
pub mod bare;
mod bmap;
mod compress;
mod cpio;
mod disk;
pub mod executable;
mod ext4;
mod fat;
pub mod format;
mod gpt;
pub mod machine;
mod report;
mod source;
mod squashfs;
mod volume;
mod zeros;

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

pub use crate::inspect::report::{Finding, Gate, Report, Rules};
pub use crate::inspect::source::StopCheck;

use crate::inspect::compress::{Compression, StreamParts};
use crate::inspect::machine::{HEAD, Machine};
use crate::inspect::report::{BLOCK_MAP, Looking};
use crate::inspect::source::{Stream, Window, invalid};
use crate::inspect::volume::FileSystem;

use crate::inspect::format::Format;

/// Inspects a file. Unreadable content is a finding.
///
/// # Errors
/// When the file cannot be opened.
pub fn inspect(path: &Path, rules: &Rules) -> io::Result<Report> {
    let window = Window::whole(File::open(path)?, rules.stop.clone())?;
    let mut looking = Looking::new(rules);
    guarded(&mut looking, |looking| look(&window, looking));
    Ok(looking.finish())
}

/// Compares a block map with its image. A file that is not a block map is inspected like any other.
///
/// # Errors
/// When one of them cannot be opened.
pub fn inspect_bmap(path: &Path, image: &Path, rules: &Rules) -> io::Result<Report> {
    let mut window = Window::whole(File::open(path)?, rules.stop.clone())?;
    let image = Window::whole(File::open(image)?, rules.stop.clone())?;
    let mut looking = Looking::new(rules);
    guarded(&mut looking, |looking| {
        if !bmap::is_bmap(&window.head(HEAD)?) {
            return look(&window, looking);
        }
        looking.is(Format::Bmap, BLOCK_MAP);
        for fault in bmap::compare(&mut window, &image)? {
            looking.shape(fault);
        }
        Ok(())
    });
    Ok(looking.finish())
}

/// Turns unreadable content into a finding, also if a library for the format panics.
fn guarded<'a>(looking: &mut Looking<'a>, look: impl FnOnce(&mut Looking<'a>) -> io::Result<()>) {
    let ended = catch_unwind(AssertUnwindSafe(|| look(looking)))
        .unwrap_or_else(|_| Err(invalid("its structures contradict each other")));
    if let Err(error) = ended {
        let what = match looking.report.what.as_str() {
            "" => "file".to_owned(),
            what => what.to_owned(),
        };
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => "it ends too early: it is truncated".to_owned(),
            _ => error.to_string(),
        };
        let place = std::mem::take(&mut looking.place);
        looking.shape(format!("the {what}{place} cannot be read: {why}"));
    }
}

fn look(window: &Window, looking: &mut Looking<'_>) -> io::Result<()> {
    if window.len() == 0 {
        looking.shape("it is empty");
        return Ok(());
    }
    if zeros::first_data(window, 0..window.len())?.is_none() {
        looking.shape(format!("all of its {} bytes are zero", window.len()));
        return Ok(());
    }
    let head = window.head(HEAD)?;
    if let Some(sector) = gpt::sector_size(window)? {
        looking.is(Format::Disk, "GPT disk image");
        let table = gpt::read(window, sector)?;
        return disk::look(window, table, looking);
    }
    if let Some(file_system) = FileSystem::of(window)? {
        looking.is(file_system.format(), file_system.name());
        return file_system.walk(window, looking);
    }
    if bmap::is_bmap(&head) {
        looking.is(Format::Bmap, BLOCK_MAP);
        return Ok(());
    }
    if look_through(window, &head, looking)? {
        return Ok(());
    }
    if gpt::is_mbr(window)? {
        looking.is(Format::Disk, "MBR disk image");
        let table = gpt::read_mbr(window)?;
        return disk::look(window, table, looking);
    }
    Ok(())
}

/// Inspects data that is read from begin to end. Returns whether its format is known.
fn look_through(window: &Window, head: &[u8], looking: &mut Looking<'_>) -> io::Result<bool> {
    let open = || Stream::new(window.clone(), window.budget.clone());
    if stream_of(&mut open(), head, "", looking)? {
        return Ok(true);
    }
    let Some(compression) = Compression::of(head) else {
        return Ok(false);
    };
    let packed = format!(" ({})", compression.name());
    looking.is(Format::Compressed, format!("{} data", compression.name()));
    looking.report.packed = true;
    let inside = compression
        .unpack(&mut open(), StreamParts::One)?
        .peek(HEAD)?
        .to_vec();
    let mut stream = open();
    if cpio::is_cpio(&inside) {
        // Several parts may follow each other, each compressed or not.
        looking.is(Format::Initrd, format!("initial RAM disk{packed}"));
        cpio::read(&mut stream, looking)?;
        return Ok(true);
    }
    let mut unpacked = compression.unpack(&mut stream, StreamParts::All)?;
    if !stream_of(&mut unpacked, &inside, &packed, looking)? {
        let what = format!("what its {} data holds", compression.name());
        looking.report.unread.push(what);
        io::copy(&mut unpacked, &mut io::sink())?;
    }
    Ok(true)
}

/// Inspects a stream that begins with `head`. Returns whether its format is known.
fn stream_of(
    stream: &mut Stream<'_>,
    head: &[u8],
    packed: &str,
    looking: &mut Looking<'_>,
) -> io::Result<bool> {
    if cpio::is_cpio(head) {
        looking.is(Format::Initrd, format!("initial RAM disk{packed}"));
        cpio::read(stream, looking)?;
    } else if archive::is_tar(head) {
        looking.is(Format::Tar, format!("tar archive{packed}"));
        archive::read(stream, looking)?;
    } else if let Some(machine) = machine::of(head) {
        looking.is(Format::Kernel, format!("program or kernel{packed}"));
        whole_kernel(stream, machine::bzimage_size(head), looking)?;
        kernel(&machine, looking);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn kernel(machine: &Machine, looking: &mut Looking<'_>) {
    match machine {
        Machine::Any => {}
        Machine::Of(arch) if *arch == looking.arch() => looking.report.programs += 1,
        machine => looking.foreign("it", machine),
    }
}

/// Reads a kernel to its end, and compares its size with its header.
fn whole_kernel(
    stream: &mut Stream<'_>,
    says: Option<u64>,
    looking: &mut Looking<'_>,
) -> io::Result<()> {
    let there = io::copy(stream, &mut io::sink())?;
    if let Some(says) = says.filter(|&says| says > there) {
        looking.shape(format!(
            "it has {there} bytes and needs {says} by its boot header: it is truncated"
        ));
    }
    Ok(())
}
