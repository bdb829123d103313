//! Faults of every kind, planted in small trees: the rules find each.

use std::fs;

use crate::page::Rooms;
use crate::rules::{Findings, Law, circles};
use crate::source::SourceTree;

const PAGE: &str = "
## Rooms

| room | subject | imports |
|---|---|---|
| `top/` | what uses all | everything |
| `middle/` | what is between | `bottom`* |
| `bottom/` | what all use | – |
";

/// A tree of three rooms in which nothing is wrong; `bottom/pure.rs` is pure.
const SOUND: [(&str, &str); 8] = [
    ("lib.rs", "pub mod top;\npub mod middle;\npub mod bottom;\n"),
    (
        "top/mod.rs",
        "use crate::middle::Plan;\npub struct Top(Plan);\n",
    ),
    (
        "middle/mod.rs",
        "pub mod deep;\nuse crate::bottom::Shared;\npub struct Plan(Shared);\n",
    ),
    ("middle/deep/mod.rs", "pub mod down;\n"),
    ("middle/deep/down.rs", "pub fn deep() {}\n"),
    (
        "bottom/mod.rs",
        "pub mod pure;\npub mod disk;\npub use pure::Shared;\n",
    ),
    ("bottom/pure.rs", "pub struct Shared;\n"),
    (
        "bottom/disk.rs",
        "pub fn read() -> bool { std::fs::exists(\"x\").is_ok() }\n",
    ),
];

/// The sound tree with some files changed.
fn tree(changed: &[(&str, &str)]) -> (tempfile::TempDir, SourceTree) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in SOUND.iter().chain(changed) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let tree = SourceTree::read(dir.path());
    (dir, tree)
}

fn judge(changed: &[(&str, &str)]) -> Findings {
    let rooms = Rooms::read(PAGE);
    let pure = ["bottom/pure.rs".to_owned()];
    Law {
        rooms: &rooms,
        pure: &pure,
    }
    .judge(&tree(changed).1)
}

/// The keys of what is found with one file changed.
fn keys(path: &str, text: &str) -> Vec<String> {
    judge(&[(path, text)]).into_keys().collect()
}

#[test]
fn a_sound_tree_has_no_findings() {
    assert_eq!(judge(&[]), Findings::new());
}

#[test]
fn an_import_of_a_forbidden_room_is_found_in_every_form() {
    let forms = [
        ("plain", "use crate::top::Top;\npub fn deep(_: Top) {}"),
        (
            "grouped",
            "use crate::{bottom::Shared, top::{self, Top}};\npub fn deep(_: Top, _: Shared) {}",
        ),
        (
            "renamed",
            "use crate::top as other;\npub fn deep(_: other::Top) {}",
        ),
        ("glob", "use crate::top::*;\npub fn deep(_: Top) {}"),
        (
            "super",
            "use super::super::super::top::Top;\npub fn deep(_: Top) {}",
        ),
        (
            "in a function",
            "pub fn deep() { use crate::top::Top; let _: Option<Top> = None; }",
        ),
        ("type", "pub fn deep(_: crate::top::Top) {}"),
        ("expression", "pub fn deep() { crate::top::go(); }"),
        ("generic", "pub fn deep(_: Vec<Option<crate::top::Top>>) {}"),
        ("bound", "pub fn deep<T: crate::top::Go>(_: T) {}"),
        ("trait", "impl crate::top::Go for u8 {}"),
        (
            "pattern",
            "pub fn deep(x: u8) { if let crate::top::ONE = x {} }",
        ),
        ("macro", "pub fn deep() { assert!(crate::top::go()); }"),
        (
            "nested macro",
            "pub fn deep() { assert!(vec![1].iter().any(|_| super::super::super::top::go())); }",
        ),
        ("name of a macro", "pub fn deep() { crate::top::go!(); }"),
        (
            "definition of a macro",
            "macro_rules! deep { () => { $crate::top::go() } }",
        ),
        (
            "attribute",
            "#[derive(X)] pub struct Deep { #[serde(with = \"crate::top\")] x: u8 }",
        ),
        ("re-export", "pub use crate::top::Top;"),
        ("constant", "pub const DEEP: u8 = crate::top::ONE;"),
        (
            "after unit tests",
            "#[cfg(test)]\nmod tests {}\nuse crate::top::Top;\npub fn deep(_: Top) {}",
        ),
        (
            "inline module",
            "pub mod inner { use crate::top::Top;\npub fn deep(_: Top) {} }",
        ),
        ("not for tests", "#[cfg(not(test))]\nuse crate::top::Top;"),
    ];
    for (form, text) in forms {
        let top = (
            "top/mod.rs",
            "pub struct Top;\npub trait Go {}\npub const ONE: u8 = 1;\npub fn go() -> bool { true }",
        );
        let found: Vec<String> = judge(&[top, ("middle/deep/down.rs", text)])
            .into_keys()
            .collect();
        assert_eq!(found, ["arrow middle -> top"], "{form}");
    }
}

#[test]
fn a_re_export_in_an_allowed_room_hides_nothing() {
    let found = judge(&[
        (
            "bottom/mod.rs",
            "pub mod pure;\npub mod disk;\npub use crate::top::Top as Shared;",
        ),
        ("top/mod.rs", "pub struct Top;"),
    ]);
    let keys: Vec<&String> = found.keys().collect();
    assert_eq!(keys, ["arrow bottom -> top", "arrow middle -> top"]);
    assert_eq!(
        found["arrow middle -> top"],
        ["middle/mod.rs:2: crate::bottom::Shared"]
    );
}

#[test]
fn a_unit_test_may_reach_down_and_not_up() {
    let test = |import: &str| format!("#[cfg(test)]\nmod tests {{ use {import}; }}");
    assert_eq!(
        keys("middle/deep/down.rs", &test("crate::bottom::disk::read")),
        [""; 0]
    );
    assert_eq!(
        keys("middle/deep/down.rs", &test("crate::top::Top")),
        ["test middle -> top"]
    );
    let in_a_file = judge(&[
        ("middle/deep/down.rs", "#[cfg(test)]\nmod tests;"),
        ("middle/deep/down/tests.rs", "use crate::top::Top;"),
    ]);
    assert_eq!(
        in_a_file.into_keys().collect::<Vec<_>>(),
        ["test middle -> top"]
    );
}

#[test]
fn an_arrow_to_pure_files_does_not_reach_others() {
    let found = keys("middle/deep/down.rs", "use crate::bottom::disk::read;");
    assert_eq!(found, ["arrow middle -> bottom"]);
}

#[test]
fn an_effect_in_a_pure_file_is_found_in_every_form() {
    let forms = [
        ("plain", "use std::fs::File;"),
        (
            "grouped",
            "use std::{collections::BTreeMap, process::{Child, Command}};",
        ),
        (
            "renamed",
            "use std::time as clock;\nfn now() { clock::Instant::now(); }",
        ),
        (
            "renamed crate",
            "use std as s;\nfn now() { s::thread::yield_now(); }",
        ),
        ("glob", "use std::time::*;"),
        ("inline", "fn now() { std::time::SystemTime::now(); }"),
        (
            "method of a type",
            "use jiff::Timestamp;\nfn now() -> Timestamp { Timestamp::now() }",
        ),
        (
            "in a macro",
            "fn now() { assert!(std::env::args().count() > 0); }",
        ),
        (
            "in a test of a name",
            "fn now(path: &std::path::Path) -> bool { path.exists() }",
        ),
        ("async", "use tokio::sync::watch;"),
        ("system call", "fn now() { rustix::process::getpid(); }"),
        ("database", "use rusqlite::Connection;"),
        ("print", "fn now() { println!(\"now\"); }"),
        (
            "after unit tests",
            "#[cfg(test)]\nmod tests {}\nuse std::net::TcpStream;",
        ),
        (
            "a file that is not pure",
            "use super::disk;\nfn now() { disk::read(); }",
        ),
    ];
    for (form, text) in forms {
        let text = format!("pub struct Shared;\n{text}");
        assert_eq!(
            keys("bottom/pure.rs", &text),
            ["pure bottom/pure.rs"],
            "{form}"
        );
    }
    let harmless = "pub struct Shared;\nuse std::time::Duration;\nuse jiff::Timestamp;\n\
                    #[cfg(test)]\nmod tests { use std::fs; use super::super::disk::read; }";
    assert_eq!(keys("bottom/pure.rs", harmless), [""; 0]);
}

#[test]
fn rooms_that_import_each_other_are_found() {
    let (_dir, tree) = tree(&[
        ("bottom/disk.rs", "pub fn read(_: crate::top::Top) {}"),
        (
            "bottom/mod.rs",
            "pub mod pure;\npub mod disk;\npub use pure::Shared;",
        ),
    ]);
    let [circle] = &circles(&tree, &Default::default())[..] else {
        panic!("one circle")
    };
    assert_eq!(
        circle.iter().collect::<Vec<_>>(),
        ["bottom", "middle", "top"]
    );
}

#[test]
fn a_table_whose_arrows_lead_up_is_found() {
    let page = PAGE.replace("| – |", "| `top` |");
    let upward = Rooms::read(&page).upward();
    assert_eq!(upward, Some(("bottom".to_owned(), "top".to_owned())));
}

#[test]
fn the_picture_leaves_out_what_follows() {
    let page = PAGE.replace("| everything |", "| `middle`, `bottom` |");
    assert_eq!(
        Rooms::read(&page).picture(),
        ["top --> middle", "middle --> bottom"]
    );
}

#[test]
fn two_types_of_one_name_are_found() {
    let found = judge(&[("middle/deep/down.rs", "type Top = u8;")]);
    assert_eq!(found["type Top"], ["middle/deep/down.rs:1", "top/mod.rs:2"]);
}

#[test]
fn sizes_unsafe_and_the_environment_are_found() {
    let long = "\n".repeat(601);
    assert_eq!(keys("bottom/disk.rs", &long), ["lines bottom/disk.rs"]);
    let many = "trait Wide { fn wide(&self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8); }";
    assert_eq!(
        keys("bottom/disk.rs", many),
        ["parameters bottom/disk.rs wide"]
    );
    let few = "trait Wide { fn wide(&self, a: u8, b: u8, c: u8, d: u8, e: u8); }";
    assert_eq!(keys("bottom/disk.rs", few), [""; 0]);
    for text in [
        "fn f() { unsafe { g() } }",
        "unsafe fn f() {}",
        "unsafe impl Send for X {}",
        "fn f() { assert!(unsafe { g() }); }",
    ] {
        assert_eq!(
            keys("bottom/disk.rs", text),
            ["unsafe bottom/disk.rs"],
            "{text}"
        );
    }
    for text in [
        "fn f() { std::env::var(\"X\"); }",
        "use std::env;\nfn f() { env::vars_os(); }",
    ] {
        assert_eq!(
            keys("bottom/disk.rs", text),
            ["environment bottom/disk.rs"],
            "{text}"
        );
    }
}

#[test]
fn a_path_that_leads_nowhere_is_found() {
    assert_eq!(
        keys("bottom/disk.rs", "use crate::gone::Gone;"),
        ["unresolved bottom/disk.rs"]
    );
    let tokens = keys(
        "bottom/disk.rs",
        "fn f() { assert!(crate::top::gone::now()); }",
    );
    assert_eq!(tokens, ["unresolved bottom/disk.rs"]);
}
