//! After a build, kas has the last word on its kas files: where its dump differs from this tool's reading, or there is
//! none, the variant is built again, and `explain` says why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use support::eventually;
use support::pinned::{ALL, BASE, NONE, World};
use support::project::outcome;

const ARM: &str = "qemuarm64/base";
const SECRET: &str = "hush-5b0e6d";

/// What the rest of a chain may say, in the file that every chain begins with.
const REST: &str = "machine: qemuarm64\ndistro: debian-bookworm\ntarget:\n  - mc:a:image\ntask: build\n\
                    build_system: isar-rootless\nenv:\n  TOKEN: hush-5b0e6d\n";

fn world() -> World {
    let world = World::new();
    world
        .project
        .write("kas/base.yml", &format!("{BASE}{REST}"));
    world
}

/// Has the fake kas-container run this for `dump`; `kas_dump "$@"` in it is kas's true answer.
fn dump_is(world: &World, script: &str) {
    world
        .project
        .write("fake/qemuarm64.base.dump.sh", &format!("{script}\n"));
}

fn dump_is_true(world: &World) {
    fs::remove_file(world.project.path().join("fake/qemuarm64.base.dump.sh")).unwrap();
}

fn build_of(world: &World, args: &[&str]) -> String {
    let said = world.run_with(
        &[&["--variant", ARM], args].concat(),
        &[("ISAR_BUILD_ALL_DUMP_TIMEOUT", "2")],
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    outcome(&world.events(), "build:qemuarm64/base")
}

/// Why the next run builds the variant again, as the warning says.
fn doubt(world: &World) -> String {
    let warnings: Vec<String> = world
        .events()
        .iter()
        .filter(|event| event["kind"] == "warning")
        .map(|event| event["message"].as_str().unwrap().to_owned())
        .collect();
    let begin = "the next run builds it again: ";
    let why = warnings.iter().find_map(|text| text.strip_prefix(begin));
    let why = why.unwrap_or_else(|| panic!("{warnings:?}"));
    why.replace(world.project.path().to_str().unwrap(), "[project]")
}

/// Builds once with each script as `dump`; each must raise its doubt, which `explain` repeats.
fn each_is_doubted(world: &World, cases: &[(&str, &str)]) {
    for (script, expected) in cases {
        dump_is(world, script);

        let built = build_of(world, &["--no-skip"]);

        assert_eq!(built, "succeeded", "{script}");
        assert_eq!(doubt(world), *expected, "{script}");
        let explained = world.project.run(&["explain", ARM]);
        let because = format!("because     its last build does not count: {expected}\n");
        assert!(explained.stdout.contains(&because), "{}", explained.stdout);
    }
    dump_is_true(world);
    assert_eq!(build_of(world, &[]), "succeeded");
    assert_eq!(build_of(world, &[]), "skipped");
}

#[test]
fn kas_dumps_each_variant_that_is_built_and_no_other() {
    let world = World::new();
    let dumped = || {
        let text = world.project.read("fake/dumped");
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        names
    };

    world.expect(&[], ALL);

    let mut all = ALL.to_vec();
    all.sort_unstable();
    assert_eq!(dumped(), all);
    world.expect(&[], NONE);
    assert_eq!(dumped(), all);
}

#[test]
fn a_dump_that_differs_has_the_variant_built_again() {
    let world = world();
    let by = |sed: &str| format!("kas_dump \"$@\" | sed '{sed}'");
    let same = |key: &str| {
        format!(
            "the kas files do not mean the same: `{key}` is not the same for kas and isar-build-all"
        )
    };
    let value = |key: &str, kas: &str, ours: &str| {
        format!(
            "the kas files do not mean the same: `{key}` is {kas} for kas and {ours} for isar-build-all"
        )
    };
    let cases = [
        (
            by("s,https://example.org,https://me:hush-5b0e6d@example.net,"),
            value(
                "repos.isar.url",
                "`https://***@example.net/isar`",
                "`https://example.org/isar`",
            ),
        ),
        (
            by("s/\"b90b722f/\"a90b722f/"),
            value(
                "overrides.repos.isar.commit",
                "`a90b722fc2666b806a64f0bf5ca0feeb9b6f203b`",
                "`b90b722fc2666b806a64f0bf5ca0feeb9b6f203b`",
            ),
        ),
        (
            by("s/\"next\"/null/"),
            value("repos.isar.branch", "null", "`next`"),
        ),
        (
            by("s/\"meta-one\": null/\"meta-one\": \"disabled\"/"),
            value("repos.project.layers.meta-one", "`disabled`", "null"),
        ),
        (
            by("s/\"meta-one\": null,//"),
            value("repos.project.layers.meta-one", "missing", "null"),
        ),
        (by("s/20240702T/20250702T/"), same("local_conf_header.apt")),
        (by("s/hush-5b0e6d/psst/"), same("env.TOKEN")),
        (
            by("s/mc:a:image/mc:a:other/"),
            value("target", "[`mc:a:other`]", "[`mc:a:image`]"),
        ),
        (
            by("s/\"qemuarm64\"/\"qemuamd64\"/"),
            value("machine", "`qemuamd64`", "`qemuarm64`"),
        ),
        (
            by("s/bookworm/trixie/"),
            value("distro", "`debian-trixie`", "`debian-bookworm`"),
        ),
        (
            by("s/\"build\"/\"clean\"/"),
            value("task", "`clean`", "`build`"),
        ),
        (
            by("s/isar-rootless/isar/"),
            value("build_system", "`isar`", "`isar-rootless`"),
        ),
    ];
    let cases: Vec<(&str, &str)> = cases
        .iter()
        .map(|(script, why)| (&**script, &**why))
        .collect();

    each_is_doubted(&world, &cases);
}

#[test]
fn other_files_and_other_commits_have_the_variant_built_again() {
    let head = "\"$KAS_WORK_DIR/isar/.git/HEAD\"";
    let moved = format!("kas_dump \"$@\"; echo {} > {head}", "a".repeat(40));
    let names_a_branch = format!("kas_dump \"$@\"; echo ref: refs/heads/x > {head}");
    let log = "echo '2026-01-01 00:00:00 - DEBUG    - config file";

    each_is_doubted(
        &world(),
        &[
            (
                &format!("kas_dump \"$@\"; {log} /repo/kas/extra.yml (internal)' >&2"),
                "kas read [project]/kas/extra.yml, and isar-build-all did not",
            ),
            (
                &format!("kas_dump \"$@\"; {log} /opt/x.yml (external)' >&2"),
                "kas read /opt/x.yml of its container, and isar-build-all did not",
            ),
            (
                "kas_dump \"$@\" 2> \"$FAKE_DIR/log\"; grep -v qemuarm64.yml \"$FAKE_DIR/log\" >&2",
                "isar-build-all read [project]/kas/qemuarm64.yml, and kas did not",
            ),
            (
                &moved,
                &format!(
                    "the clone of repository isar is at commit {}, and the kas files pin \
                     b90b722fc2666b806a64f0bf5ca0feeb9b6f203b",
                    "a".repeat(40)
                ),
            ),
            (
                &names_a_branch,
                "the commit of the clone of repository isar in \
                 [project]/.isar-build-all/build/qemuarm64/base/work/isar cannot be read",
            ),
        ],
    );
}

#[test]
fn a_lock_file_that_kas_ignores_has_the_variant_built_again() {
    let world = world();
    let args = ("ISAR_BUILD_ALL_KAS_ARGS", "--update");

    world.expect_with(&[], &[args], ALL);

    assert_eq!(
        doubt(&world),
        "the kas files do not mean the same: `overrides` is missing for kas and a table for isar-build-all"
    );
    world.expect_with(&[], &[args], ALL);
    world.expect(&[], ALL);
    world.expect(&[], NONE);
}

#[test]
fn without_a_dump_the_variant_is_built_again() {
    let unknown = |why: &str| format!("how kas reads the kas files is unknown: {why}");

    each_is_doubted(
        &world(),
        &[
            ("exit 2", &unknown("`kas dump` ended with exit code 2")),
            (
                "kas_dump \"$@\"; exit 1",
                &unknown("`kas dump` ended with exit code 1"),
            ),
            ("kill -9 $$", &unknown("`kas dump` was ended from outside")),
            (
                "echo garbage",
                &unknown("`kas dump` printed something else"),
            ),
            (
                "kas_dump \"$@\" | head -n 3",
                &unknown("`kas dump` printed something else"),
            ),
            (
                "exec sleep 600",
                &unknown("`kas dump` did not end within 2 s (setting `dump-timeout`)"),
            ),
        ],
    );
}

#[test]
fn values_of_env_are_in_no_file_that_the_tool_writes() {
    let world = world();
    assert_eq!(build_of(&world, &[]), "succeeded");
    dump_is(&world, "kas_dump \"$@\" | sed 's/\"TOKEN\"/\"OTHER\"/'");

    let said = world.run(&["--variant", ARM, "--no-skip", "--verbose"]);
    let explained = world.project.run(&["explain", "--verbose", ARM]);

    assert!(doubt(&world).contains("`env.OTHER` is not the same"));
    for text in [said.stdout, said.stderr, explained.stdout] {
        assert!(!text.contains(SECRET), "{text}");
    }
    let root = world.project.path();
    let written = [
        ".isar-build-all",
        "artifacts",
        "events.jsonl",
        "artifact-hashes.nix",
    ];
    let mut seen = 0;
    for file in written.iter().flat_map(|name| files(&root.join(name))) {
        let bytes = fs::read(&file).unwrap_or_default();
        seen += 1;
        let has_secret = bytes
            .windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes());
        assert!(!has_secret, "{}", file.display());
    }
    assert!(seen > 5, "{seen}");
}

/// The file, or all files below the directory.
fn files(path: &Path) -> Vec<PathBuf> {
    match fs::read_dir(path) {
        Ok(entries) => entries
            .flat_map(|entry| files(&entry.unwrap().path()))
            .collect(),
        Err(_) => vec![path.to_owned()],
    }
}

#[test]
fn a_stop_ends_the_dump_and_keeps_the_build() {
    let world = world();
    dump_is(&world, "echo $$ > \"$FAKE_DIR/dumping\"; exec sleep 600");
    let args = ["--variant", ARM, "--events", "events.jsonl"];
    let mut run = world.project.command(&args);
    let mut run = run
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let dumping = world.project.path().join("fake/dumping");
    let pid = || {
        fs::read_to_string(&dumping)
            .ok()?
            .trim()
            .parse::<i32>()
            .ok()
    };
    assert!(eventually(Duration::from_secs(20), || pid().is_some()));

    let signal = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(signal, rustix::process::Signal::INT).unwrap();
    let status = run.wait().unwrap();

    assert!(!support::lives(pid().unwrap()));
    assert_eq!(status.code(), Some(130), "{status}");
    assert_eq!(
        doubt(&world),
        "how kas reads the kas files is unknown: the run was stopped before `kas dump` had ended"
    );
    assert_eq!(
        outcome(&world.events(), "build:qemuarm64/base"),
        "succeeded"
    );
    dump_is_true(&world);
    assert_eq!(build_of(&world, &[]), "succeeded");
    assert_eq!(build_of(&world, &[]), "skipped");
}
