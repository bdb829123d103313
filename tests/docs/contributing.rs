//! The code in CONTRIBUTING.md is that of the tests which do the exercises.

use std::fs;

use support::root;

/// The files that the page quotes.
const QUOTED: [&str; 2] = ["tests/run/added_step.rs", "tests/reporters/added.rs"];

#[test]
fn contributing_quotes_the_tests() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let blocks: Vec<&str> = page
        .split("```rust\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let tests = QUOTED.map(|path| fs::read_to_string(root().join(path)).unwrap());

    assert!(blocks.len() > 5, "{} blocks", blocks.len());
    for block in blocks {
        assert!(
            tests.iter().any(|test| test.contains(block)),
            "no test has:\n{block}"
        );
    }
}

#[test]
fn the_files_that_contributing_names_are_there() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let words = page.split(|c: char| c.is_whitespace() || "`()[],:".contains(c));
    let paths: Vec<&str> = words
        .filter(|word| {
            ["src/", "tests/", "docs/", "scripts/"]
                .iter()
                .any(|dir| word.starts_with(dir))
        })
        .map(|word| word.trim_end_matches(['.', ';']))
        .collect();

    assert!(paths.len() > 10, "{paths:?}");
    for path in paths {
        assert!(root().join(path).exists(), "{path}");
    }
}
