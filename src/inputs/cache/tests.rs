use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::inputs::cache::*;

/// A clock ahead of the file system's, so that every file counts as at rest.
fn later() -> UnixTime {
    (now().0 + 100, 0)
}

fn sha(text: &str) -> ContentHash {
    Sha256::digest(text).into()
}

#[test]
fn a_file_at_rest_is_read_once_also_across_processes() {
    let dir = tempfile::tempdir().unwrap();
    let (file, kept) = (dir.path().join("file"), dir.path().join("cache"));
    fs::write(&file, "one").unwrap();
    let mut cache = HashCache::open(&kept, later);
    for _ in 0..3 {
        assert_eq!(cache.hash(&file).unwrap(), sha("one"));
    }
    assert_eq!(cache.read, 1);
    cache.save().unwrap();
    let mut cache = HashCache::open(&kept, later);
    assert_eq!(cache.hash(&file).unwrap(), sha("one"));
    assert_eq!(cache.read, 0);
    fs::write(&file, "two").unwrap();
    assert_eq!(cache.hash(&file).unwrap(), sha("two"));
    assert_eq!(cache.read, 1);
}

#[test]
fn a_hash_of_a_file_that_just_changed_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "one").unwrap();
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&ahead);
    let mut cache = HashCache::in_memory(move || (now().0 + clock.load(Ordering::SeqCst), 0));
    cache.hash(&file).unwrap();
    cache.hash(&file).unwrap();
    assert_eq!(cache.read, 2);
    ahead.store(100, Ordering::SeqCst);
    cache.hash(&file).unwrap();
    cache.hash(&file).unwrap();
    assert_eq!(cache.read, 3);
}

#[test]
fn a_change_within_one_clock_tick_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let mut cache = HashCache::in_memory(now);
    for round in 0..200 {
        // Same size, same inode: only the bytes differ, and the times when the clock ticked.
        let text = format!("{round:04}");
        fs::write(&file, &text).unwrap();
        assert_eq!(cache.hash(&file).unwrap(), sha(&text));
    }
}

#[test]
fn a_modification_time_that_was_set_back_hides_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "one").unwrap();
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let mut cache = HashCache::in_memory(later);
    cache.hash(&file).unwrap();
    // The kernel's clock ticks at least every 10 ms.
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(&file, "two").unwrap();
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert_eq!(cache.hash(&file).unwrap(), sha("two"));
}

#[test]
fn a_torn_or_corrupt_cache_counts_as_empty() {
    let dir = tempfile::tempdir().unwrap();
    let (file, kept) = (dir.path().join("file"), dir.path().join("cache"));
    fs::write(&file, "one").unwrap();
    let mut cache = HashCache::open(&kept, later);
    cache.hash(&file).unwrap();
    cache.save().unwrap();
    let whole = fs::read(&kept).unwrap();
    assert_eq!(decode(&whole).unwrap().len(), 1);
    for end in 0..whole.len() {
        let decoded = decode(&whole[..end]);
        assert!(decoded.is_none_or(|entries| entries.is_empty()), "{end}");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(decode(&bytes).is_none(), "{at}");
    }
}
