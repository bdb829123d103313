//! Snapshots of what each reporter writes.

use isar_build_all::event::Event;
use isar_build_all::event::Reporter;
use isar_build_all::report::github::GitHub;
use isar_build_all::report::gitlab::GitLab;
use isar_build_all::report::plain::{Plain, PlainOptions};
use isar_build_all::report::summary::Summary;

use crate::script::{Written, cancelled, clock_at, keep_going, refused, success};

/// Control characters made visible, so that a snapshot is text.
fn visible(text: &str) -> String {
    text.replace('\u{1b}', "␛").replace('\r', "␍")
}

fn draw(mut reporter: impl Reporter, events: &[Event]) {
    for event in events {
        reporter.event(event).unwrap();
    }
    reporter.finish().unwrap();
}

fn plain(events: &[Event], options: PlainOptions) -> String {
    let written = Written::default();
    draw(Plain::new(written.output(), clock_at(0), options), events);
    visible(&written.text())
}

#[test]
fn plain_tells_starts_milestones_and_ends() {
    insta::assert_snapshot!(plain(&success(), PlainOptions::default()));
}

#[test]
fn plain_shows_why_a_build_failed() {
    insta::assert_snapshot!(plain(&keep_going(), PlainOptions::default()));
}

#[test]
fn plain_says_what_a_signal_stopped() {
    insta::assert_snapshot!(plain(&cancelled(), PlainOptions::default()));
}

#[test]
fn plain_says_what_a_gate_refused() {
    insta::assert_snapshot!(plain(&refused(), PlainOptions::default()));
}

#[test]
fn summary_of_a_refused_variant() {
    insta::assert_snapshot!(summary(&refused(), 120, false));
}

#[test]
fn plain_verbose_and_coloured() {
    let options = PlainOptions {
        verbose: true,
        color: true,
    };
    insta::assert_snapshot!(plain(&cancelled(), options));
}

#[test]
fn plain_says_that_a_silent_build_goes_on() {
    let events = success();
    let written = Written::default();
    let mut reporter = Plain::new(written.output(), clock_at(300), PlainOptions::default());
    for event in &events[..8] {
        reporter.event(event).unwrap();
    }
    let before = written.text().lines().count();
    reporter.tick().unwrap();
    reporter.tick().unwrap();
    let lines: Vec<String> = written
        .text()
        .lines()
        .skip(before)
        .map(str::to_owned)
        .collect();
    assert_eq!(
        lines,
        [
            "qemuamd64/base                still building after 4m 59s, \
          setscene task 2 of 6: isar-image-base:do_rootfs_install_setscene"
        ]
    );
}

fn github(events: &[Event]) -> (String, String) {
    let written = Written::default();
    let summary = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(summary.path(), "before\n").unwrap();
    let mut count = 0;
    let tokens = Box::new(move || {
        count += 1;
        format!("token-{count}")
    });
    let out = written.output();
    let reporter = GitHub::new(out, clock_at(0), false, Some(summary.path()), tokens);
    draw(reporter, events);
    let summary = std::fs::read_to_string(summary.path()).unwrap();
    (visible(&written.text()), summary)
}

#[test]
fn github_groups_and_annotates() {
    insta::assert_snapshot!(github(&keep_going()).0);
}

#[test]
fn github_groups_a_good_run() {
    insta::assert_snapshot!(github(&success()).0);
}

#[test]
fn github_job_summary() {
    let summary = github(&keep_going()).1;
    assert!(summary.starts_with("before\n"), "it is appended");
    insta::assert_snapshot!(summary);
}

#[test]
fn gitlab_folds_sections() {
    let written = Written::default();
    draw(
        GitLab::new(written.output(), clock_at(0), true),
        &keep_going(),
    );
    insta::assert_snapshot!(visible(&written.text()));
}

fn summary(events: &[Event], columns: usize, color: bool) -> String {
    let written = Written::default();
    draw(Summary::new(written.output(), columns, color), events);
    visible(&written.text())
}

#[test]
fn summary_is_a_table_where_there_is_room() {
    insta::assert_snapshot!(summary(&success(), 200, false));
}

#[test]
fn summary_of_a_failed_run_says_what_to_do() {
    insta::assert_snapshot!(summary(&keep_going(), 200, false));
}

#[test]
fn summary_is_blocks_on_80_columns() {
    let text = summary(&keep_going(), 80, false);
    insta::assert_snapshot!(text);
}

#[test]
fn summary_of_a_cancelled_run() {
    insta::assert_snapshot!(summary(&cancelled(), 120, true));
}

#[test]
fn summary_never_wraps_but_for_what_is_copied() {
    for columns in [80, 100, 120, 160, 200] {
        for line in summary(&success(), columns, false).lines() {
            let is_copied = line.contains("/nix/store/") || line.contains("again:");
            assert!(
                is_copied || line.chars().count() <= columns,
                "{columns} columns: {line}"
            );
        }
    }
}
