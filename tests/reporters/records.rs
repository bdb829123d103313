//! The record of a run: written, read back, and drawn again as it was drawn live.

use isar_build_all::event::Event;
use isar_build_all::event::Reporter;
use isar_build_all::report::github::GitHub;
use isar_build_all::report::gitlab::GitLab;
use isar_build_all::report::jsonl::JsonLines;
use isar_build_all::report::plain::{Plain, PlainOptions};
use isar_build_all::report::replay::{ReplayError, Replayed, replay};
use isar_build_all::report::summary::Summary;

use crate::script::{Written, cancelled, clock_at, keep_going, success};

fn record(events: &[Event]) -> String {
    let written = Written::default();
    let mut reporter = JsonLines::to(written.output());
    for event in events {
        reporter.event(event).unwrap();
    }
    reporter.finish().unwrap();
    written.text()
}

fn all(written: &Written) -> Vec<Box<dyn Reporter>> {
    let plain = PlainOptions {
        verbose: true,
        color: true,
    };
    vec![
        Box::new(Plain::new(written.output(), clock_at(0), plain)),
        Box::new(GitHub::new(
            written.output(),
            clock_at(0),
            true,
            None,
            Box::new(|| "token".to_owned()),
        )),
        Box::new(GitLab::new(written.output(), clock_at(0), true)),
        Box::new(Summary::new(written.output(), 200, true)),
    ]
}

#[test]
fn a_replay_gives_the_picture_of_the_run() {
    for events in [success(), keep_going(), cancelled()] {
        let (live, again) = (Written::default(), Written::default());
        for reporter in &mut all(&live) {
            for event in &events {
                reporter.event(event).unwrap();
            }
            reporter.finish().unwrap();
        }
        // One reporter a replay, so that both write in the same order.
        let record = record(&events);
        for reporter in all(&again) {
            let replayed = replay(record.as_bytes(), &mut [reporter]).unwrap();
            assert_eq!(replayed.events, events.len() as u64);
        }
        assert_eq!(live.text(), again.text());
    }
}

#[test]
fn each_event_is_a_line_that_reads_back_equal() {
    let events = keep_going();
    let text = record(&events);
    let read: Vec<Event> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read, events);
    assert!(
        !text.contains("##["),
        "no command for a runner that reads it"
    );
    assert!(text.ends_with("\"exit\":10,\"seconds\":81.0}\n"));
}

#[test]
fn a_record_is_created_fresh() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    std::fs::write(&path, "old\n".repeat(100)).unwrap();
    let mut reporter = JsonLines::create(&path).unwrap();
    reporter.event(&success()[0]).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.starts_with("{\"v\":1,\"seq\":0,\"time\":\"2026-07-01T12:00:00Z\""));
    assert!(JsonLines::create(&dir.path().join("missing/events.jsonl")).is_err());
}

#[test]
fn a_record_that_a_kill_cut_off_is_drawn_as_far_as_it_goes() {
    let text = record(&keep_going());
    let cut = &text[..text.len() - 20];
    let written = Written::default();
    let summary: Box<dyn Reporter> = Box::new(Summary::new(written.output(), 80, false));
    let replayed = replay(cut.as_bytes(), &mut [summary]).unwrap();
    assert!(replayed.cut);
    assert!(
        written
            .text()
            .contains("3 variants: 1 registered, 1 unchanged, 1 failed")
    );
}

#[test]
fn faults_of_a_record_are_named_by_their_line() {
    let good = record(&success()[..1]);
    let none = &mut [];
    let later = good.replace("\"v\":1", "\"v\":2");
    assert!(matches!(
        replay(later.as_bytes(), none),
        Err(ReplayError::Version {
            line: 1,
            version: 2
        })
    ));
    let broken = format!("{good}not json\n{good}");
    assert!(matches!(
        replay(broken.as_bytes(), none),
        Err(ReplayError::Line { line: 2, .. })
    ));
    let odd = format!("{good}{}", good.replace("run_started", "moon_phase"));
    assert_eq!(
        replay(odd.as_bytes(), none).unwrap(),
        Replayed {
            events: 1,
            unknown: 1,
            cut: false
        }
    );
    let wrong = format!("{good}{}", good.replace("\"store\":\"nix\"", "\"store\":7"));
    assert!(matches!(
        replay(wrong.as_bytes(), none),
        Err(ReplayError::Line { line: 2, .. })
    ));
}

#[test]
fn a_record_without_words_for_its_steps_is_drawn_with_general_ones() {
    let text = record(&success());
    let mut bare = String::new();
    for line in text.lines() {
        let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
        for node in event["nodes"].as_array_mut().into_iter().flatten() {
            node.as_object_mut().unwrap().remove("words");
        }
        bare.push_str(&format!("{event}\n"));
    }
    let written = Written::default();

    let summary = Summary::new(written.output(), 200, false);
    replay(bare.as_bytes(), &mut [Box::new(summary)]).unwrap();

    assert!(text.contains("\"past\":\"registered\""), "{text}");
    assert!(written.text().contains(" done "), "{}", written.text());
}
