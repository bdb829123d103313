//! Plain technical English in docs, help, snapshots of messages, and doc comments of the source.
//!
//! A Rust test and not a script: it asks the built binary for its help, and runs with all other tests. The
//! patterns are those of the habits that this project once had; spelling is codespell's (`scripts/test`).
//!
//! prose.txt lists how many sentences may still match, by file or by room for doc comments; a number there only
//! shrinks. `UPDATE_PROSE=1` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use isar_build_all::commands::Tool;
use support::{output, root, tool};

/// Words that are not the subject of a sentence: it should name the thing. Questions are excepted.
const SUBJECTS: &[&str] = &[
    "Who",
    "What",
    "Whose",
    "Nobody",
    "Whoever",
    "Whatever",
    "Those that",
    "Those who",
    "For whom",
    "To whom",
];

/// Phrases, with a better one each.
const PHRASES: &[(&str, &str)] = &[
    (
        "is told",
        "name who learns what: `reports`, `knows`, `receives`",
    ),
    (
        "are told",
        "name who learns what: `report`, `know`, `receive`",
    ),
    ("is said", "`the message says`, `prints`, `reports`"),
    ("are said", "`the message says`, `prints`, `reports`"),
    (
        "is asked",
        "`on request`, `by the setting`, `the engine reports`",
    ),
    (
        "are asked",
        "`on request`, `by the setting`, `the engines report`",
    ),
    ("cannot be told", "unknown"),
    ("be told apart", "distinguish"),
    ("is there twice", "is defined twice"),
    ("are there twice", "are defined twice"),
    ("like no other", "unique"),
    ("is no value of", "is not a value of"),
    ("of ours", "our, or the name of the thing"),
    ("nobody", "no process, no user, no task"),
    ("whoever", "the process that, the user who"),
    ("lies about", "is left"),
];

/// A sentence and where it starts.
#[derive(Debug, PartialEq, Eq)]
struct Sentence {
    line: usize,
    text: String,
}

/// The sentences of Markdown or of plain text: blocks of lines, list items and table cells, without code.
fn sentences(text: &str) -> Vec<Sentence> {
    let mut found: Vec<Sentence> = Vec::new();
    let mut open = false;
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            fenced = !fenced;
            open = false;
        }
        if fenced || trimmed.is_empty() || trimmed.starts_with("```") {
            open = false;
            continue;
        }
        let body = trimmed.trim_start_matches(['#', '>', '*', '-', ' ']);
        if body.len() != trimmed.len() || trimmed.starts_with('|') || trimmed.starts_with('[') {
            open = false;
        }
        for cell in without_code(body).split('|') {
            let mut rest = cell.trim();
            while !rest.is_empty() {
                let end = [". ", "! ", "? "]
                    .iter()
                    .filter_map(|mark| rest.find(mark))
                    .min();
                let (part, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
                match found.last_mut().filter(|_| open) {
                    Some(last) => {
                        last.text.push(' ');
                        last.text.push_str(part.trim());
                    }
                    None => found.push(Sentence {
                        line: number,
                        text: part.trim().to_owned(),
                    }),
                }
                open = !part.ends_with(['.', '!', '?']);
                rest = after.trim();
            }
            open &= !body.contains('|');
        }
    }
    found
}

/// The text with every span in backquotes emptied.
fn without_code(text: &str) -> String {
    let spans = text.split('`').enumerate();
    spans
        .map(|(index, span)| if index % 2 == 0 { span } else { "`x`" })
        .collect()
}

/// What is wrong with a sentence.
fn fault(sentence: &str) -> Option<String> {
    let starts = |subject: &&&str| {
        let rest = sentence.strip_prefix(**subject);
        rest.is_some_and(|rest| rest.starts_with([' ', ',']))
    };
    if let Some(subject) = SUBJECTS.iter().find(starts)
        && !sentence.ends_with('?')
    {
        return Some(format!("starts with `{subject}`: name the thing"));
    }
    let lower = sentence.to_lowercase();
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let (phrase, better) = PHRASES.iter().find(|(phrase, _)| {
        lower.match_indices(phrase).any(|(at, _)| {
            let bytes = lower.as_bytes();
            !is_word(at.checked_sub(1).and_then(|before| bytes.get(before)))
                && !is_word(bytes.get(at + phrase.len()))
        })
    })?;
    Some(format!("`{phrase}`: {better}"))
}

/// The lines of a text with faults, as `file:line: fault: sentence`.
fn faults(name: &str, text: &str) -> Vec<String> {
    let found = sentences(text).into_iter();
    found
        .filter_map(|Sentence { line, text }| {
            Some(format!("{name}:{line}: {}: {text}", fault(&text)?))
        })
        .collect()
}

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The name of a file relative to the repository, and its text.
fn named(path: &Path) -> (String, String) {
    let name = path.strip_prefix(root()).unwrap().display().to_string();
    (name, fs::read_to_string(path).unwrap())
}

/// The help of the tool and of every subcommand that it shows.
fn help(command: &clap::Command, words: &mut Vec<String>, found: &mut Vec<(String, String)>) {
    let text = output(Command::new(tool()).args(&*words).arg("--help"));
    found.push((format!("help {}", words.join(" ")).trim().to_owned(), text));
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
    {
        words.push(inner.get_name().to_owned());
        help(inner, words, found);
        words.pop();
    }
}

/// Faults by the key of their budget.
fn all_faults() -> BTreeMap<String, Vec<String>> {
    let mut texts = Vec::new();
    help(&Tool::standard().command(), &mut Vec::new(), &mut texts);
    texts.extend(files(&root(), ".md").iter().map(|path| named(path)));
    for path in files(&root().join("src"), ".snap")
        .iter()
        .chain(&files(&root().join("tests"), ".snap"))
    {
        let (name, text) = named(path);
        let body = text
            .splitn(3, "---\n")
            .nth(2)
            .unwrap_or_default()
            .to_owned();
        texts.push((name, body));
    }
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, text) in texts {
        let faults = faults(&name, &text);
        found.entry(name).or_default().extend(faults);
    }
    for path in files(&root().join("src"), ".rs") {
        let (name, text) = named(&path);
        let comment = |line: &str| {
            let line = line.trim_start();
            let text = line
                .strip_prefix("///")
                .or_else(|| line.strip_prefix("//!"));
            text.unwrap_or_default().to_owned()
        };
        let comments: Vec<String> = text.lines().map(comment).collect();
        let room = name
            .split('/')
            .nth(1)
            .unwrap_or_default()
            .trim_end_matches(".rs");
        let faults = faults(&name, &comments.join("\n"));
        found
            .entry(format!("comments {room}"))
            .or_default()
            .extend(faults);
    }
    found.retain(|_, faults| !faults.is_empty());
    found
}

#[allow(clippy::disallowed_methods, reason = "the switch of this test")]
fn is_update() -> bool {
    std::env::var_os("UPDATE_PROSE").is_some()
}

#[test]
fn prose_has_no_new_sentences_of_the_old_manner() {
    let found = all_faults();
    let file = root().join("tests/docs/prose.txt");
    if is_update() {
        let mut text = "# Sentences that prose.rs still lets pass, by file or room. These numbers only shrink.\n".to_owned();
        for (key, faults) in &found {
            writeln!(text, "{} {key}", faults.len()).unwrap();
        }
        fs::write(file, text).unwrap();
        return;
    }
    let budget = fs::read_to_string(file).unwrap_or_default();
    let budget: BTreeMap<&str, usize> = budget
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(count, key)| Some((key, count.parse().ok()?)))
        .collect();
    let mut over = Vec::new();
    for (key, faults) in &found {
        let allowed = budget.get(key.as_str()).copied().unwrap_or(0);
        if faults.len() > allowed {
            over.push(format!(
                "{key}: {} sentences, {allowed} allowed\n  {}",
                faults.len(),
                faults.join("\n  ")
            ));
        }
    }
    assert!(over.is_empty(), "\n{}\n", over.join("\n"));
}

#[test]
fn planted_sentences_are_found_where_they_stand() {
    let page = "# What is new\n\nThe watcher stops it. Who has a\nplace waits.\n\n- Nobody knows.\n\n\
                | a | Whoever comes |\n\n```\nWho is in code\n```\n\nSee `Who` and `is told`. What is it?\n\
                The user is\ntold of it.\n";
    let found = faults("page.md", page);
    let starts: Vec<&str> = found
        .iter()
        .map(|fault| fault.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        starts,
        [
            "page.md:1",
            "page.md:3",
            "page.md:6",
            "page.md:8",
            "page.md:15"
        ],
        "{found:?}"
    );
    for phrase in PHRASES.iter().map(|(phrase, _)| phrase) {
        assert!(
            fault(&format!("The image {phrase} here.")).is_some(),
            "{phrase}"
        );
        assert_eq!(
            fault(&format!("The image x{phrase}x here.")),
            None,
            "{phrase}"
        );
    }
    for subject in SUBJECTS {
        assert!(
            fault(&format!("{subject} has a slot keeps it.")).is_some(),
            "{subject}"
        );
    }
    assert_eq!(
        fault("A slot holder never waits for a task that waits for a slot."),
        None
    );
}
