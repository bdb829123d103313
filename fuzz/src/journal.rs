//! Target `journal`: any journal is refused, or its entries and its unfinished runs survive being written again.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use isar_build_all::state::journal::{Entry, Unfinished, read, unfinished};

use super::files::holding;

/// Reads any bytes.
pub fn journal(data: &[u8]) {
    let Some(entries) = entries(data) else {
        return;
    };
    assert_eq!(self::entries(&lines(&entries)), Some(entries.clone()));
    let runs = unfinished(&entries);
    let kept: Vec<Entry> = runs.iter().flat_map(Unfinished::entries).collect();
    let again = unfinished(&kept);
    let kept_again: Vec<Entry> = again.iter().flat_map(Unfinished::entries).collect();
    assert_eq!(kept, kept_again);
}

fn entries(data: &[u8]) -> Option<Vec<Entry>> {
    let file = holding(data);
    read(&PathBuf::from(format!(
        "/proc/self/fd/{}",
        file.as_raw_fd()
    )))
    .ok()
}

fn lines(entries: &[Entry]) -> Vec<u8> {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry).expect("an entry is JSON");
        text.write_all(b"\n").expect("memory for a line");
    }
    text
}
