//! The live display, drawn on an emulated terminal.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use isar_build_all::event::Event;
use isar_build_all::event::Reporter;
use isar_build_all::report::bars::Bars;

use crate::script::{Script, Written, clock_at, keep_going};

/// The rows of a terminal after what was written, without what is empty at the end.
fn rows(written: &Written, columns: u16, rows: u16) -> String {
    let mut terminal = vt100::Parser::new(rows, columns, 0);
    terminal.process(&written.bytes());
    terminal.screen().contents().trim_end().to_owned()
}

fn draw(events: &[Event], clock: i64, columns: u16, height: u16) -> (Bars, Written) {
    let written = Written::default();
    let size = (usize::from(columns), usize::from(height));
    let mut bars = Bars::new(
        written.output(),
        clock_at(clock),
        false,
        Box::new(move || size),
    );
    for event in events {
        bars.event(event).unwrap();
        bars.tick().unwrap();
    }
    (bars, written)
}

/// Builds at every stage at once.
fn busy() -> Vec<Event> {
    let variants = [
        "qemuamd64/base",
        "qemuamd64/server-debug-node1",
        "qemuarm64/base",
        "qemuarm64/server-release-node2",
        "qemuarm64/spare",
    ];
    let mut script = Script::new(&["-j", "3"], &variants);
    script
        .started("build:qemuamd64/base")
        .at(60.0)
        .done("build:qemuamd64/base", 60.0)
        .started("capture:qemuamd64/base")
        .started("build:qemuamd64/server-debug-node1")
        .progress(
            "build:qemuamd64/server-debug-node1",
            212,
            351,
            "isar-image-base:do_rootfs_install",
        )
        .at(65.0)
        .started("build:qemuarm64/base")
        .progress(
            "build:qemuarm64/base",
            3,
            6,
            "isar-image-base:do_generate_initramfs_setscene",
        )
        .started("build:qemuarm64/server-release-node2");
    script.events
}

#[test]
fn bars_at_80_columns() {
    let (_, written) = draw(&busy(), 125, 80, 24);
    insta::assert_snapshot!(rows(&written, 80, 24));
}

#[test]
fn bars_at_120_columns() {
    let (_, written) = draw(&busy(), 125, 120, 24);
    insta::assert_snapshot!(rows(&written, 120, 24));
}

#[test]
fn bars_at_40_columns() {
    let (_, written) = draw(&busy(), 125, 40, 24);
    insta::assert_snapshot!(rows(&written, 40, 24));
}

#[test]
fn more_builds_than_rows_are_counted() {
    let (_, written) = draw(&busy(), 125, 80, 4);
    let screen = rows(&written, 80, 4);
    assert_eq!(screen.lines().count(), 3);
    assert!(screen.contains("… and 3 more running"), "{screen}");
    assert!(screen.lines().last().unwrap().starts_with("5 variants:"));
}

#[test]
fn what_ended_stays_above_and_the_bars_go_at_the_end() {
    let events = keep_going();
    let (mut bars, written) = draw(&events, 81, 100, 60);
    bars.finish().unwrap();
    insta::assert_snapshot!(rows(&written, 100, 60));
}

#[test]
fn a_terminal_made_narrower_keeps_its_history() {
    let columns = Arc::new(AtomicUsize::new(120));
    let written = Written::default();
    let size = Arc::clone(&columns);
    let mut bars = Bars::new(
        written.output(),
        clock_at(125),
        false,
        Box::new(move || (size.load(Ordering::SeqCst), 24)),
    );
    for event in &busy() {
        bars.event(event).unwrap();
    }
    bars.tick().unwrap();
    let before = written.bytes().len();
    columns.store(50, Ordering::SeqCst);
    bars.tick().unwrap();
    let text = String::from_utf8(written.bytes()[before..].to_vec()).unwrap();
    // Four rows and the totals, 117 columns each, wrapped to three rows of the narrower terminal.
    assert!(text.starts_with("\r\u{1b}[14A"), "{text:?}");
}

#[test]
fn no_row_is_wrapped_however_narrow_the_terminal() {
    for columns in 5..130 {
        let (_, written) = draw(&busy(), 125, columns, 24);
        let mut terminal = vt100::Parser::new(24, columns, 0);
        terminal.process(&written.bytes());
        let screen = terminal.screen();
        assert!(
            (0..24).all(|row| !screen.row_wrapped(row)),
            "{columns} columns"
        );
        assert_eq!(
            screen.contents().trim_end().lines().count(),
            5,
            "{columns} columns"
        );
    }
}

#[test]
fn an_output_that_fails_is_an_error_and_no_panic() {
    struct Gone;
    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("the terminal is gone"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut bars = Bars::new(Box::new(Gone), clock_at(81), true, Box::new(|| (80, 24)));
    let errors = keep_going()
        .iter()
        .filter(|event| bars.event(event).is_err() || bars.tick().is_err())
        .count();
    assert!(errors > 0);
}

#[test]
fn nothing_of_the_terminals_state_is_changed() {
    let (mut bars, written) = draw(&keep_going(), 81, 100, 30);
    bars.finish().unwrap();
    let text = written.text();
    assert!(!text.contains("\u{1b}[?"), "no mode is set");
    assert!(!text.contains("\u{1b}[2J") && !text.contains("]0;"));
}

#[test]
fn a_picture_that_has_not_changed_is_not_written_again() {
    let (mut bars, written) = draw(&busy(), 125, 80, 24);
    let before = written.bytes().len();
    bars.tick().unwrap();
    assert_eq!(written.bytes().len(), before);
}
