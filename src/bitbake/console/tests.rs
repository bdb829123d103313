use proptest::prelude::*;

use crate::bitbake::console::*;

fn heard(console: &str) -> Collector {
    let mut collector = Collector::default();
    for raw in console.lines() {
        let line = ConsoleLine::new(raw);
        let said = Said::read(&line);
        collector.hear(&line, said.as_ref());
    }
    collector
}

fn said(console: &str) -> String {
    let mut said = Vec::new();
    for raw in console.lines() {
        let line = ConsoleLine::new(raw);
        match Said::read(&line) {
            Some(what) => said.push(format!("{what:?}")),
            None => said.push(format!("- {}", line.text)),
        }
    }
    said.join("\n")
}

fn failure(console: &str) -> String {
    let failure = heard(console).failure();
    let tasks: Vec<String> = failure.tasks.iter().map(Task::to_string).collect();
    format!(
        "{}\nlog: {}\ntasks: {}\ntail: {} lines",
        failure.reason,
        failure.log.unwrap_or_default(),
        tasks.join(" "),
        failure.tail.len(),
    )
}

const GOOD: &str = "\
2026-11-22 03:23:18 - INFO     - kas 5.5 started on Debian GNU/Linux bookworm
2026-11-22 03:23:18 - WARNING  - The semantics of build_system: isar might change.
2026-11-22 03:23:24 - INFO     - Parsing of 166 .bb files complete (0 cached, 166 parsed). 172 targets, 36 skipped, 0 masked, 0 errors.
2026-11-22 03:23:24 - INFO     - Initialising tasks...Sstate summary: Wanted 7 Local 2 Mirrors 1 Missed 4 Current 3 (28% match, 0% complete)
2026-11-22 03:23:24 - INFO     - NOTE: Running setscene task 6 of 7 (mc:qemuamd64-bookworm:/build/../work/isar/meta/recipes-devtools/sbuild-chroot/sbuild-chroot-target.bb:do_rootfs_install_setscene)
2026-11-22 03:23:25 - INFO     - WARNING: Setscene task (mc:a:/work/x_1.0.bb:do_y_setscene) failed with exit code '1' - real task will be run instead
2026-11-22 03:23:30 - INFO     - NOTE: Running task 16 of 35 (mc:qemuamd64-bookworm:/build/../repo/kas/meta-example/recipes-core/image-variant/image-variant_1.0.bb:do_fetch)
2026-11-22 03:23:30 - INFO     - NOTE: Running noexec task 17 of 35 (/work/isar/meta/isar-apt.bb:do_build)
2026-11-22 03:24:01 - INFO     - NOTE: recipe isar-image-base-1.0-r0: task do_image_wic: Started
2026-11-22 03:34:01 - INFO     - Bitbake still alive (no events for 600s). Active tasks:
2026-11-22 03:35:01 - INFO     - NOTE: recipe isar-image-base-1.0-r0: task do_image_wic: Succeeded
2026-11-22 03:35:01 - INFO     - NOTE: Tasks Summary: Attempted 61 tasks of which 4 didn't need to be rerun and all succeeded.
2026-11-22 03:35:01 - INFO     - 
2026-11-22 03:35:01 - INFO     - Summary: There was 1 WARNING message.";

const FAILED_TASK: &str = "\
2026-11-22 03:24:39 - ERROR    - ERROR: mc:qemuarm64-bookworm:isar-image-base-1.0-r0 do_image_wic: ExecutionError('/build/tmp/work/temp/run.do_image_wic.88702', 1, None, None)
2026-11-22 03:24:39 - ERROR    - ERROR: Logfile of failure stored in: /build/tmp/work/temp/log.do_image_wic.88702
2026-11-22 03:24:39 - INFO     - Log data follows:
2026-11-22 03:24:39 - INFO     - | DEBUG: Executing shell function do_image_wic
2026-11-22 03:24:39 - INFO     - | INFO: Creating image(s)...
2026-11-22 03:24:39 - INFO     - |
2026-11-22 03:24:39 - INFO     - | ERROR: Cannot run command: grub-mkimage, lost dependency?
2026-11-22 03:24:39 - INFO     - | WARNING: exit code 1 from a shell command.
2026-11-22 03:24:39 - INFO     - NOTE: recipe isar-image-base-1.0-r0: task do_image_wic: Failed
2026-11-22 03:24:39 - ERROR    - ERROR: Task (mc:qemuarm64-bookworm:/build/../work/isar/meta-isar/recipes-core/images/isar-image-base.bb:do_image_wic) failed with exit code '1'
2026-11-22 03:24:40 - INFO     - NOTE: Tasks Summary: Attempted 52 tasks of which 0 didn't need to be rerun and 1 failed.
2026-11-22 03:24:40 - INFO     - Summary: 1 task failed:
2026-11-22 03:24:40 - INFO     - mc:qemuarm64-bookworm:/build/../work/isar/meta-isar/recipes-core/images/isar-image-base.bb:do_image_wic
2026-11-22 03:24:40 - INFO     - Summary: There was 1 ERROR message, returning a non-zero exit code.
2026-11-22 03:24:40 - ERROR    - Command \"/build$ /work/isar/bitbake/bin/bitbake -c build mc:qemuarm64-bookworm:isar-image-base\" failed:
ERROR: mc:qemuarm64-bookworm:isar-image-base-1.0-r0 do_image_wic: ExecutionError('/build/tmp/work/temp/run.do_image_wic.88702', 1, None, None)
ERROR: Logfile of failure stored in: /build/tmp/work/temp/log.do_image_wic.88702
ERROR: Task (mc:qemuarm64-bookworm:/build/../work/isar/meta-isar/recipes-core/images/isar-image-base.bb:do_image_wic) failed with exit code '1'
2026-11-22 03:24:40 - ERROR    - Command \"/work/isar/bitbake/bin/bitbake -c build mc:qemuarm64-bookworm:isar-image-base\" failed with error 1";

#[test]
fn an_image_begins_with_its_own_root_file_system() {
    let begins = |recipe: &str, task: &str| {
        let (recipe, task) = (recipe.to_owned(), task.to_owned());
        Task { recipe, task }.begins_image()
    };
    assert!(begins("isar-image-base", "do_rootfs_install"));
    assert!(begins("isar-image-base", "do_image_wic"));
    assert!(!begins("sbuild-chroot-target", "do_rootfs_install"));
    assert!(!begins("isar-mmdebstrap-target", "do_bootstrap"));
    assert!(!begins("hello", "do_dpkg_build"));
}

#[test]
fn a_good_build_is_followed() {
    insta::assert_snapshot!(said(GOOD));
    assert!(!heard(GOOD).ends_in_failure());
}

#[test]
fn a_failed_task_is_followed() {
    insta::assert_snapshot!(said(FAILED_TASK));
    assert!(heard(FAILED_TASK).ends_in_failure());
}

#[test]
fn reasons() {
    let python_task = "\
2026-11-22 03:19:39 - ERROR    - ERROR: mc:q:isar-image-base-1.0-r0 do_rootfs_postprocess: Install the package or forcefully remove this check!
2026-11-22 03:19:39 - ERROR    - ERROR: mc:q:isar-image-base-1.0-r0 do_rootfs_postprocess: ExecutionError('/build/run.1', 1, None, None)
2026-11-22 03:19:39 - ERROR    - ERROR: Logfile of failure stored in: /build/log.do_rootfs_postprocess.5322
2026-11-22 03:19:39 - ERROR    - ERROR: Task (mc:q:/work/isar-image-base.bb:do_rootfs_postprocess) failed with exit code '1'
2026-11-22 03:19:39 - ERROR    - ERROR: Task (mc:q:/work/hello_1.0.bb:do_fetch) failed with exit code '1'";
    let bare_task = "\
2026-11-22 03:19:39 - ERROR    - ERROR: Task (mc:q:/work/hello_1.0.bb:do_fetch) failed with exit code '137'";
    let parse = "\
2026-11-22 03:19:39 - ERROR    - ERROR: ParseError at /work/isar/meta/x.bb:3: Could not inherit file classes/y.bbclass
2026-11-22 03:19:40 - ERROR    - Command \"/work/isar/bitbake/bin/bitbake -c build x\" failed with error 1";
    let provides = "\
2026-11-22 03:19:39 - ERROR    - ERROR: Nothing PROVIDES 'mc:q:no-such-image'
2026-11-22 03:19:40 - INFO     - Summary: There was 1 ERROR message, returning a non-zero exit code.";
    let config = "\
2026-11-22 03:19:39 - INFO     - kas 5.5 started on Debian GNU/Linux bookworm
2026-11-22 03:19:39 - ERROR    - Configuration file not found: /repo/kas/missing.yml";
    let clone = "\
2026-11-22 03:19:39 - INFO     - Cloning repository isar
2026-11-22 03:19:40 - ERROR    - Command \"/work$ git clone -q https://example.com/isar /work/isar\" failed:
fatal: unable to access 'https://example.com/isar/': Could not resolve host: example.com
2026-11-22 03:19:40 - ERROR    - fetch repos failed: error code 128";
    let bare_clone = clone.rsplit_once('\n').unwrap().0;
    let script = "kas-container: Error: configuration file 'x.yml' not found";
    let engine = "\
Trying to pull ghcr.io/siemens/kas/kas-isar:5.5...
Error: initializing source docker://ghcr.io/siemens/kas/kas-isar:5.5: dial tcp: lookup ghcr.io: no such host";
    let sudo = "sudo: a password is required";
    let entrypoint = "failed to set up binfmt_misc";
    let cases = [
        ("failed task", FAILED_TASK),
        ("python task", python_task),
        ("bare task", bare_task),
        ("parse", parse),
        ("provides", provides),
        ("config", config),
        ("clone", clone),
        ("bare clone", bare_clone),
        ("script", script),
        ("engine", engine),
        ("sudo", sudo),
        ("entrypoint", entrypoint),
        ("silence", ""),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|(name, console)| format!("## {name}\n{}", failure(console)))
        .collect();
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn colours_are_taken_off() {
    let line = ConsoleLine::new(
        "\u{1b}[32m2026-11-22 03:19:39 - INFO     - \u{1b}[1;31mNOTE: recipe a-1: task do_b: Started\u{1b}[0m",
    );
    assert_eq!(line.level, Some(Level::Info));
    assert!(matches!(Said::read(&line), Some(Said::Task { .. })));
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let reason = heard(&format!("Error: {}", "ü".repeat(1000)))
        .failure()
        .reason;
    assert_eq!(reason.chars().count(), 301);
}

#[test]
fn the_tail_is_that_of_the_first_log() {
    let mut console = String::from("ERROR: Logfile of failure stored in: /a\n");
    for n in 0..30 {
        console.push_str(&format!("| a {n}\n"));
    }
    console.push_str("ERROR: Logfile of failure stored in: /b\n| b\n");
    let failure = heard(&console).failure();
    assert_eq!(failure.log.as_deref(), Some("/a"));
    assert_eq!(failure.tail.len(), 20);
    assert_eq!(failure.tail.last().map(String::as_str), Some("a 29"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        let collector = heard(&text);
        prop_assert!(collector.failure().reason.chars().count() <= 301);
    }

    /// Near misses: pieces of the real forms in any order, cut anywhere.
    #[test]
    fn no_mixture_of_its_own_words_makes_it_panic(
        pieces in proptest::collection::vec(prop_oneof![
            Just("2026-11-22 03:19:39 - ERROR    - "), Just("ERROR: "), Just("NOTE: "), Just("Task ("),
            Just(") failed with exit code '"), Just("Running task "), Just(" of "), Just("4294967296"),
            Just("recipe "), Just(": task "), Just(": "), Just("do_x"), Just("| "), Just("ü"), Just("\n"),
            Just("Sstate summary: Wanted "), Just("Local "), Just("Tasks Summary: Attempted "),
            Just(" of which "), Just("\u{1b}["), Just("mc:a:/b_1.bb:"), Just("Command \"x\" failed:"),
        ], 0..30),
        cut in 0_usize..400,
    ) {
        let text = pieces.concat();
        let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let _ = heard(&text[cut..]).failure();
        let _ = heard(&text[..cut]).failure();
    }
}

#[test]
fn a_message_that_begins_on_its_second_line_is_no_empty_reason() {
    for (console, reason) in [
        ("ERROR: \nIt is broken", "It is broken"),
        (
            "ERROR: mc:q:x-1.0-r0 do_y: \nERROR: mc:q:x-1.0-r0 do_y: It is broken",
            "It is broken",
        ),
        ("ERROR:  ", "it printed nothing"),
    ] {
        assert_eq!(heard(console).failure().reason, reason, "{console:?}");
    }
}
