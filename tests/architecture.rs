//! The rooms keep to themselves: what `src/model` must not know, and who may read the environment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file without its unit tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let body = text.split("#[cfg(test)]").next().unwrap_or_default();
    body.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn assert_absent(room: &str, words: &[&str]) {
    let root = common::root().join("src").join(room);
    let files = sources(&root);
    assert!(!files.is_empty(), "no sources under {}", root.display());
    for file in files {
        let code = code(&file);
        for word in words {
            assert!(!code.contains(word), "{} mentions `{word}`", file.display());
        }
    }
}

#[test]
fn the_model_is_pure() {
    assert_absent(
        "model",
        &[
            "tokio",
            "std::fs",
            "std::process",
            "std::net",
            "std::thread",
            "std::time",
            "std::env::var",
            "Timestamp::now",
            "rustix",
            "rusqlite",
            "println!",
            "crate::exec",
            "crate::steps",
            "crate::state",
            "crate::store",
            "crate::tools",
            "crate::report",
            "crate::commands",
            "crate::settings",
        ],
    );
}

#[test]
fn reporters_know_events_alone() {
    assert_absent(
        "report",
        &[
            "crate::exec",
            "crate::steps",
            "crate::state",
            "crate::store",
            "crate::tools",
            "crate::commands",
        ],
    );
}

#[test]
fn settings_and_tools_do_not_know_the_matrix() {
    assert_absent(
        "tools",
        &[
            "model::matrix",
            "model::plan",
            "crate::steps",
            "crate::report",
        ],
    );
    assert_absent(
        "settings",
        &[
            "model::matrix",
            "model::plan",
            "crate::steps",
            "crate::tools",
        ],
    );
    assert_absent("exec", &["model::matrix", "model::plan", "crate::settings"]);
}

#[test]
fn inspection_knows_files_alone() {
    assert_absent(
        "inspect",
        &[
            "model::matrix",
            "model::plan",
            "crate::steps",
            "crate::store",
            "crate::state",
            "crate::settings",
            "crate::report",
        ],
    );
}

/// `unsafe` stands where processor instructions are asked for by name, and nowhere else.
#[test]
fn unsafe_has_one_place() {
    let root = common::root().join("src");
    let (at, elsewhere): (Vec<_>, Vec<_>) = sources(&root)
        .into_iter()
        .filter(|file| code(file).contains("unsafe"))
        .partition(|file| file.ends_with("store/hashing/sha_ni.rs"));
    assert_eq!((at.len(), elsewhere), (1, Vec::<PathBuf>::new()));
}

#[test]
fn files_stay_small() {
    let root = common::root().join("src");
    for file in sources(&root) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(
            lines <= 600,
            "{} has {lines} lines: one idea a file",
            file.display()
        );
    }
}
