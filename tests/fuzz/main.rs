//! Every file of the fuzz corpus, through the bodies of the fuzz targets: what once broke a reader does
//! not break it again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

#[path = "../../fuzz/src/lib.rs"]
mod bodies;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What the corpus may take of the repository.
const FILES: usize = 300;
const BYTES: u64 = 500_000;

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn corpus() -> PathBuf {
    support::root().join("fuzz/corpus")
}

fn replay(target: &str) {
    let (_, body) = bodies::TARGETS
        .into_iter()
        .find(|(name, _)| *name == target)
        .unwrap();
    let files = files(&corpus().join(target));
    assert!(files.len() > 3, "{target} has hardly a corpus");
    for file in files {
        let input = fs::read(&file).unwrap();
        let ended = std::panic::catch_unwind(|| body(&input));
        assert!(ended.is_ok(), "{}", file.display());
    }
}

#[test]
fn console() {
    replay("console");
}

#[test]
fn hashes() {
    replay("hashes");
}

#[test]
fn mountinfo() {
    replay("mountinfo");
}

#[test]
fn partitions() {
    replay("partitions");
}

#[test]
fn ramdisk() {
    replay("ramdisk");
}

#[test]
fn variants() {
    replay("variants");
}

#[test]
fn every_target_has_a_body_a_program_and_a_corpus() {
    let listed: BTreeSet<String> = bodies::TARGETS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let names = |directory: PathBuf| -> BTreeSet<String> {
        files(&directory)
            .iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(corpus()), listed);
    assert_eq!(names(support::root().join("fuzz/fuzz_targets")), listed);
    let manifest = fs::read_to_string(support::root().join("fuzz/Cargo.toml")).unwrap();
    for name in &listed {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

#[test]
fn the_corpus_stays_small() {
    let all: Vec<PathBuf> = files(&corpus()).iter().flat_map(|dir| files(dir)).collect();
    let bytes: u64 = all.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(all.len() <= FILES, "{} files", all.len());
    assert!(bytes <= BYTES, "{bytes} bytes");
}

#[test]
fn bmap() {
    replay("bmap");
}

#[test]
fn content() {
    replay("content");
}

#[test]
fn journal() {
    replay("journal");
}

#[test]
fn kas() {
    replay("kas");
}
