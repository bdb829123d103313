//! No line of a child, whatever it holds, is taken for a command or a marker by a CI system.

use std::collections::HashSet;

use isar_build_all::event::Event;
use isar_build_all::event::Reporter;
use isar_build_all::event::outcome::{Outcome, RunOutcome};
use isar_build_all::report::github;
use isar_build_all::report::github::{GitHub, random_token};
use isar_build_all::report::gitlab;
use isar_build_all::report::gitlab::GitLab;
use isar_build_all::report::sanitize::{Colors, clean};
use proptest::prelude::*;

use crate::script::{NASTY, Script, Written, clock_at, keep_going};

/// The command that GitHub's runner sees in a line. Both ways in which it reads one, without its list of
/// known commands: a command that it does not know today it may know tomorrow.
fn command(line: &str) -> Option<String> {
    let trimmed = line.trim_start();
    if let Some(rest) = trimmed.strip_prefix("::")
        && let Some((info, _)) = rest.split_once("::")
    {
        return Some(info.split(' ').next().unwrap().to_owned());
    }
    let (_, rest) = line.split_once("##[")?;
    let (info, _) = rest.split_once(']')?;
    Some(info.split(' ').next().unwrap().to_owned())
}

/// The commands of a log, read as the runner reads it; those between `stop-commands` and its token too,
/// apart, since nothing should depend on that alone.
fn commands(log: &str) -> (Vec<String>, Vec<String>) {
    let (mut obeyed, mut stopped) = (Vec::new(), Vec::new());
    let mut token: Option<String> = None;
    for line in log.split(['\r', '\n']) {
        let Some(command) = command(line) else {
            continue;
        };
        if let Some(end) = &token {
            if command == *end {
                token = None;
            } else {
                stopped.push(command);
            }
        } else if command == "stop-commands" {
            token = line.rsplit("::").next().map(str::to_owned);
        } else {
            obeyed.push(command);
        }
    }
    assert_eq!(token, None, "every stop is ended");
    (obeyed, stopped)
}

/// The section markers that GitLab sees.
fn markers(log: &str) -> Vec<String> {
    log.split("section_")
        .skip(1)
        .filter_map(|rest| {
            let (head, _) = rest.split_once("\r\u{1b}[0K")?;
            let fields: Vec<&str> = head.split(':').collect();
            match fields[..] {
                [kind @ ("start" | "end"), time, name] if time.parse::<u64>().is_ok() => {
                    Some(format!("{kind} {}", name.split('[').next()?))
                }
                _ => None,
            }
        })
        .collect()
}

fn github_log(events: &[Event]) -> String {
    let written = Written::default();
    let tokens = Box::new(random_token);
    draw(
        GitHub::new(written.output(), clock_at(0), true, None, tokens),
        events,
    );
    written.text()
}

fn gitlab_log(events: &[Event]) -> String {
    let written = Written::default();
    draw(GitLab::new(written.output(), clock_at(0), true), events);
    written.text()
}

fn draw(mut reporter: impl Reporter, events: &[Event]) {
    for event in events {
        reporter.event(event).unwrap();
    }
    reporter.finish().unwrap();
}

/// A run in which everything that can come from a child or a file is `text`.
fn hostile(text: &str) -> Vec<Event> {
    let mut script = Script::new(&[text], &["m/a"]);
    let node = "build:m/a";
    script
        .started(node)
        .output(node, text)
        .progress(node, 9, 10, text)
        .warning(None, text, Some(text))
        .output(node, text);
    script
        .ended(node, Outcome::Failed, 1.0, Some(text), Some(text))
        .ended("capture:m/a", Outcome::NotRun, 0.0, Some(text), None)
        .ended("register:m/a", Outcome::NotRun, 0.0, None, None)
        .finished(RunOutcome::Failed);
    script.events
}

const OURS: [&str; 4] = ["warning", "error", "group", "endgroup"];

#[test]
fn the_commands_of_a_run_are_ours_alone() {
    let (obeyed, stopped) = commands(&github_log(&keep_going()));
    assert_eq!(obeyed, ["warning", "warning", "error", "group", "endgroup"]);
    assert_eq!(stopped, Vec::<String>::new());
}

#[test]
fn the_sections_of_a_run_are_ours_alone() {
    let name = "variant_2_qemuarm64_base";
    assert_eq!(
        markers(&gitlab_log(&keep_going())),
        [format!("start {name}"), format!("end {name}")]
    );
}

#[test]
fn nasty_lines_are_seen_as_what_they_are_by_this_test() {
    let seen = NASTY.iter().filter(|line| commands_in(line)).count();
    assert!(seen >= 8, "the reader above does read commands: {seen}");
    assert_eq!(markers(NASTY[9]), ["start evil"]);
}

fn commands_in(text: &str) -> bool {
    text.split(['\r', '\n']).any(|line| command(line).is_some())
}

#[test]
fn nasty_lines_stay_readable() {
    let neutral: Vec<String> = NASTY
        .iter()
        .map(|line| github::neutral(&clean(line, Colors::Keep)))
        .collect();
    insta::assert_snapshot!(neutral.join("\n"));
}

#[test]
fn escapes_are_those_that_the_runner_undoes() {
    assert_eq!(github::escape_data("50 %\r\na:b,c"), "50 %25%0D%0Aa:b,c");
    assert_eq!(github::escape_property("50 %:a,b"), "50 %25%3Aa%2Cb");
}

#[test]
fn tokens_differ_and_are_no_commands() {
    let tokens: HashSet<String> = (0..100).map(|_| random_token()).collect();
    assert_eq!(tokens.len(), 100);
    assert!(tokens.iter().all(|token| token.len() == 37));
}

/// Text made of what commands, markers and terminal sequences are made of.
fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            ":", "::", "::error::", "::add-mask::", "::stop-commands::x", "##[", "#", "[", "]", "##[error]",
            "\r", "\n", "\r\n", " ", "\t", "\u{1b}", "\u{1b}[0K", "\u{1b}[31m", "\u{1b}[0m", "\u{9b}", "\u{85}",
            "\u{a0}", "\u{ad}", "\u{200b}", "\u{feff}", "\u{2028}", "\u{1b}]0;", "\u{7}", "\u{1b}\\", "\u{b}",
            "section_start:1:x\r\u{1b}[0K", "section_", "end:1:x", "section_end:1:x[collapsed=true]",
        ]).prop_map(str::to_owned),
        1 => ".{0,3}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_line_becomes_a_command_on_github(text in hostile_text()) {
        let (obeyed, stopped) = commands(&github_log(&hostile(&text)));
        prop_assert!(stopped.is_empty(), "{:?}", stopped);
        prop_assert!(obeyed.iter().all(|command| OURS.contains(&command.as_str())), "{:?}", obeyed);
        for (kind, count) in [("warning", 1), ("error", 1)] {
            prop_assert_eq!(obeyed.iter().filter(|command| *command == kind).count(), count);
        }
    }

    #[test]
    fn no_line_becomes_a_marker_on_gitlab(text in hostile_text()) {
        let log = gitlab_log(&hostile(&text));
        prop_assert!(markers(&log).iter().all(|marker| marker.ends_with(" variant_1_m_a")));
        let neutral = gitlab::neutral(&clean(&text, Colors::Keep));
        prop_assert!(!neutral.contains("section_start:") && !neutral.contains("section_end:"));
    }
}
