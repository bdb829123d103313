//! The house: rooms and the arrows between them, pure files, names, sizes.
//!
//! docs/architecture.md has the table of rooms, pure.txt the pure files. debt.txt lists what does not hold yet;
//! an entry that holds again fails this test, so that the list only shrinks. To write it anew:
//! `UPDATE_DEBT=1 cargo test --test architecture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod page;
mod planted;
mod resolve;
mod rules;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use page::{Rooms, mermaid, named_files, section};
use rules::{Findings, Law, circles};
use source::SourceTree;
use support::root;

fn page() -> String {
    fs::read_to_string(root().join("docs/architecture.md")).unwrap()
}

/// The lines of a file beside this one, without comments.
fn list(name: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("tests/architecture").join(name)).unwrap_or_default();
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn debt_file() -> PathBuf {
    root().join("tests/architecture/debt.txt")
}

#[allow(clippy::disallowed_methods, reason = "the switch of this test")]
fn is_update() -> bool {
    std::env::var_os("UPDATE_DEBT").is_some()
}

#[test]
fn the_house_has_no_new_faults_and_no_paid_debts() {
    let page = page();
    let (rooms, pure) = (Rooms::read(&page), list("pure.txt"));
    let law = Law {
        rooms: &rooms,
        pure: &pure,
    };
    let tree = SourceTree::read(&root().join("src"));
    let mut found = law.judge(&tree);
    found.extend(missing_files(&page));
    found.extend(disk(&rooms, &tree));
    if is_update() {
        let head = "# What does not hold yet. This list only shrinks.\n";
        let keys: Vec<&str> = found.keys().map(String::as_str).collect();
        fs::write(debt_file(), format!("{head}{}\n", keys.join("\n"))).unwrap();
        return;
    }
    let debts: BTreeSet<String> = list("debt.txt").into_iter().collect();
    let mut faults = Vec::new();
    for (key, places) in found.iter().filter(|(key, _)| !debts.contains(*key)) {
        faults.push(format!("{key}\n    {}", places.join("\n    ")));
    }
    for debt in debts.iter().filter(|debt| !found.contains_key(*debt)) {
        faults.push(format!(
            "paid: remove from tests/architecture/debt.txt: {debt}"
        ));
    }
    let known = debts.iter().filter_map(|debt| {
        let (from, to) = debt.strip_prefix("arrow ")?.split_once(" -> ")?;
        Some((from.to_owned(), to.to_owned()))
    });
    for circle in circles(&tree, &known.collect()) {
        let rooms: Vec<String> = circle.into_iter().collect();
        faults.push(format!("circle of rooms: {}", rooms.join(", ")));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// What the page names and is not there.
fn missing_files(page: &str) -> Findings {
    let is_there =
        |name: &&str| root().join(name).exists() || root().join("src").join(name).exists();
    let page_name = "docs/architecture.md".to_owned();
    let missing = named_files(page).into_iter().filter(|name| !is_there(name));
    let mut found: Findings = missing
        .map(|name| (format!("page {name}"), vec![page_name.clone()]))
        .collect();
    // The page follows one artifact and one signal through the rooms, by the names of files.
    for (heading, least) in [("One artifact", 6), ("One signal", 4)] {
        let files = section(page, heading).map_or(0, |text| named_files(text).len());
        if files < least {
            let count = format!("docs/architecture.md: {files} files, at least {least}");
            found.insert(format!("page walk {heading}"), vec![count]);
        }
    }
    found
}

#[test]
fn arrows_of_the_page_lead_down() {
    assert_eq!(Rooms::read(&page()).upward(), None);
}

#[test]
fn picture_of_the_page_shows_the_table() {
    let page = page();
    let expected = Rooms::read(&page).picture();
    let shown = mermaid(section(&page, "Rooms").unwrap());
    assert_eq!(
        shown,
        expected,
        "the Mermaid block should be\n\n    {}\n",
        expected.join("\n    ")
    );
}

/// Files that no `mod` declaration reaches, and rooms that the page and `lib.rs` have differently.
fn disk(rooms: &Rooms, tree: &SourceTree) -> Findings {
    let mut found = Findings::new();
    let read: BTreeSet<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
    let src = root().join("src");
    let mut dirs = vec![src.clone()];
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            let name = path.strip_prefix(&src).unwrap().to_str().unwrap();
            if path.is_dir() {
                dirs.push(path);
            } else if name.ends_with(".rs") && name != "main.rs" && !read.contains(name) {
                found.insert(
                    format!("unused {name}"),
                    vec!["no `mod` declares it".to_owned()],
                );
            }
        }
    }
    let declared = &tree.modules[&Vec::new()].children;
    let names: Vec<&String> = declared.iter().map(|(name, _)| name).collect();
    if names != rooms.order.iter().collect::<Vec<_>>() {
        let order = rooms.order.join(", ");
        found.insert(
            "order".to_owned(),
            vec![format!(
                "src/lib.rs does not have the rooms of the page: {order}"
            )],
        );
    }
    for (name, _) in declared
        .iter()
        .filter(|(_, documentation)| documentation.is_empty())
    {
        found.insert(
            format!("subject {name}"),
            vec!["src/lib.rs does not say what it is".to_owned()],
        );
    }
    found
}
