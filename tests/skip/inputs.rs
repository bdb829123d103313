//! What is unchanged is not built, and whatever changes is: each class of input, changed alone, has its
//! variants built and no other.

use std::fs;

use serde_json::Value;

use support::pinned::{ALL, BASE, LOCK, NONE, VARIANTS, World};
use support::project::Project;

fn append(project: &Project, file: &str) {
    let text = project.read(file);
    project.write(file, &format!("{text}# changed\n"));
}

fn replace(project: &Project, file: &str, from: &str, to: &str) {
    let text = project.read(file);
    assert!(text.contains(from), "{file} has no {from}");
    project.write(file, &text.replace(from, to));
}

#[test]
fn nothing_changed_nothing_done() {
    let world = World::built();
    let runs = || {
        fs::read_dir(world.project.path().join(".isar-build-all/runs"))
            .unwrap()
            .count()
    };
    let before = runs();
    fs::remove_dir_all(world.project.path().join("fake")).unwrap();
    // Without PATH there is no program that could be started.
    let mut command = world.project.command(&["--events", "events.jsonl"]);
    let fakes = support::root().join("tests/support/fakes");
    let only = tempfile::tempdir().unwrap();
    fs::copy(
        fakes.join("kas-container"),
        only.path().join("kas-container"),
    )
    .unwrap();
    command.env("PATH", only.path());
    let said = world.project.said(&mut command);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        said.stdout,
        "All 4 variants are unchanged: nothing to do.\n"
    );
    assert_eq!(said.stderr, "");
    assert_eq!(runs(), before, "no directory of a run");
    let events = world.events();
    let kinds: Vec<&str> = events
        .iter()
        .filter_map(|event| event["kind"].as_str())
        .collect();
    assert_eq!(kinds[..3], ["run_started", "plan", "skip"]);
    assert_eq!(kinds.iter().filter(|kind| **kind == "skip").count(), 4);
    assert_eq!(kinds.last(), Some(&"run_finished"));
    let skip = events.iter().find(|event| event["kind"] == "skip").unwrap();
    assert_eq!(skip["key"].as_str().unwrap().len(), 64);
    let why = skip["why"].as_str().unwrap();
    assert!(why.starts_with("built "), "{why}");
}

#[test]
fn a_kas_file_builds_the_variants_whose_chain_has_it() {
    let world = World::built();
    world.changes(
        |project| append(project, "kas/server-2.yml"),
        &["qemuamd64/server-server-2"],
    );
    world.changes(
        |project| append(project, "kas/qemuamd64.yml"),
        &[VARIANTS[0], VARIANTS[2], VARIANTS[3]],
    );
}

#[test]
fn an_included_file_and_a_lock_file_count() {
    let world = World::built();
    world.changes(
        |project| append(project, "kas/included.yml"),
        &["qemuamd64/server-server-1"],
    );
    world.changes(|project| append(project, "kas/base.lock.yml"), ALL);
    world.changes(
        |project| {
            let lock = LOCK.replace("overrides", "# of the machine\noverrides");
            project.write("kas/qemuarm64.lock.yml", &lock);
        },
        &["qemuarm64/base"],
    );
}

#[test]
fn a_pin_counts() {
    let world = World::built();
    world.changes(
        |project| replace(project, "kas/base.lock.yml", "b90b722", "c90b722"),
        ALL,
    );
}

#[test]
fn every_file_of_a_local_layer_counts() {
    let world = World::built();
    let arm = &["qemuarm64/base"];
    world.changes(|project| append(project, "meta-arm/conf/layer.conf"), arm);
    world.changes(|project| project.write("meta-arm/untracked", "x"), arm);
    world.changes(
        |project| {
            project.write(".gitignore", "*.bin\n");
            project.write("meta-arm/ignored.bin", "x");
        },
        arm,
    );
    world.changes(
        |project| {
            use std::os::unix::fs::PermissionsExt as _;
            let file = project.path().join("meta-arm/conf/layer.conf");
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        },
        arm,
    );
    world.changes(
        |project| fs::remove_file(project.path().join("meta-one/recipes/files/blob.bin")).unwrap(),
        ALL,
    );
}

#[test]
fn a_patch_and_further_inputs_count() {
    let world = World::built();
    world.changes(|project| append(project, "patches/fix.patch"), ALL);
    world.changes(|project| project.write("keys/two.pem", "key\n"), ALL);
    // git's ignore files hide nothing.
    world.changes(
        |project| {
            project.write(".gitignore", "keys/\n");
            append(project, "keys/one.pem");
        },
        ALL,
    );
}

#[test]
fn a_patch_of_the_repository_of_the_defaults_counts() {
    let world = World::built();
    let defaults = "defaults:\n  repos:\n    patches:\n      repo: project\n";
    let base = BASE.replace("        repo: project\n", "");
    world.changes(
        |project| project.write("kas/base.yml", &format!("{base}{defaults}")),
        ALL,
    );
    world.changes(|project| append(project, "patches/fix.patch"), ALL);
}

#[test]
fn what_includes_from_a_clone_that_cannot_be_read_is_built() {
    let world = World::built();
    let server = &["qemuamd64/server-server-2"];
    world.project.write(
        "kas/server-2.yml",
        "header:\n  version: 14\n  includes:\n    - repo: isar\n      file: kas/x.yml\n",
    );
    let dir = ".isar-build-all/build/qemuamd64/server-server-2/work/isar";
    fs::remove_dir_all(world.project.path().join(dir)).unwrap();
    let said = world.expect(&[], server);
    assert!(
        said.stderr.contains("is not there at its pin"),
        "{}",
        said.stderr
    );
    world.expect(&[], server);
    let clone = |head: &str| {
        let write = |file: &str, text: &str| {
            world.project.write(&format!("{dir}/{file}"), text);
        };
        write(".git/HEAD", head);
        write("kas/x.yml", "header:\n  version: 14\n");
    };
    // Another commit than the pin's, which kas keeps in a dirty clone; then the branch on which kas has patched the pin.
    let kept = "cd \"$KAS_WORK_DIR/isar/.git\"; cp HEAD kept; (cd \"$OLDPWD\"; kas_dump \"$@\"); mv kept HEAD\n";
    world
        .project
        .write("fake/qemuamd64.server-server-2.dump.sh", kept);
    clone("b90b722fc2666b806a64f0bf5ca0feeb9b6f203c\n");
    let said = world.expect(&[], server);
    assert!(
        said.stderr.contains("is not there at its pin"),
        "{}",
        said.stderr
    );
    fs::remove_file(
        world
            .project
            .path()
            .join("fake/qemuamd64.server-server-2.dump.sh"),
    )
    .unwrap();
    clone("ref: refs/heads/patched-b90b722fc2666b806a64f0bf5ca0feeb9b6f203b\n");
    world.expect(&[], server);
    world.expect(&[], NONE);
}

#[test]
fn an_overlay_counts() {
    let world = World::built();
    let with = ["--overlay", "kas/extra.yml"];
    world.expect(&with, ALL);
    world.expect(&with, NONE);
    append(&world.project, "kas/extra.yml");
    world.expect(&with, ALL);
    world.expect(&[], ALL);
}

#[test]
fn variables_that_reach_the_build_count() {
    let world = World::built();
    world.changes_with(("SSTATE_MIRRORS", "file://.* http://x/PATH"), ALL);
    world.changes_with(("KAS_PREMIRRORS", "a b"), ALL);
}

#[test]
fn settings_that_reach_the_build_count() {
    let world = World::built();
    for (name, value) in [
        ("ISAR_BUILD_ALL_ENV", "A=1"),
        ("ISAR_BUILD_ALL_KAS_ARGS", "--log-level=debug"),
        ("ISAR_BUILD_ALL_RUNTIME_ARGS", "--cpus=2"),
        ("ISAR_BUILD_ALL_MOUNTS", "/tmp:/mirror:ro"),
        ("ISAR_BUILD_ALL_SKIP_GATES", "content"),
        ("KAS_CONTAINER_IMAGE", "another:1"),
    ] {
        world.expect_with(&[], &[(name, value)], ALL);
    }
}

#[test]
fn the_image_and_kas_container_count() {
    let world = World::built();
    world.changes(
        |project| {
            // It is asked for only where something is built, or when it has grown old.
            project.write("fake/image", "sha256:2222\n");
            append(project, "kas/server-2.yml");
        },
        ALL,
    );
    let own = world.project.path().join("bin/kas-container");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    let text =
        fs::read_to_string(support::root().join("tests/support/fakes/kas-container")).unwrap();
    fs::write(&own, format!("{text}# changed\n")).unwrap();
    fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let variable = ("ISAR_BUILD_ALL_KAS_CONTAINER", own.to_str().unwrap());
    world.expect_with(&[], &[variable], ALL);
    world.expect_with(&[], &[variable], NONE);
}

#[test]
fn names_and_artifacts_count() {
    let world = World::built();
    world.changes(
        |project| replace(project, "variants.toml", "\"isar-{id}", "\"img-{id}"),
        ALL,
    );
    world.changes(
        |project| {
            let from = "kas = \"kas/qemuarm64.yml\"\nartifacts = [\"wic\"]";
            let to = "kas = \"kas/qemuarm64.yml\"\nartifacts = [\"wic\", \"bmap\"]";
            replace(project, "variants.toml", from, to);
        },
        &["qemuarm64/base"],
    );
}

#[test]
fn nothing_else_counts() {
    let world = World::built();
    let project = &world.project;
    // Times, other environment, another working directory, files that nobody reads, another -j.
    for file in ["kas/base.yml", "meta-one/conf/layer.conf", "variants.toml"] {
        let file = fs::File::options()
            .write(true)
            .open(project.path().join(file))
            .unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
    }
    project.write("README.md", "x");
    project.write("kas/unused.yml", "header:\n  version: 14\n");
    append(project, "variants.toml");
    let variables = [
        ("TERM", "xterm"),
        ("LANG", "de_DE.UTF-8"),
        ("BB_NUMBER_THREADS", "3"),
        ("PARALLEL_MAKE", "-j 3"),
        ("NO_COLOR", "1"),
        ("ANYTHING", "x"),
    ];
    world.expect_with(&["-j", "2"], &variables, NONE);
    let mut command = project.command(&["--events", "../events.jsonl"]);
    // Whichever store is the usual one here, it is that of the records that is told.
    command.env_remove("ISAR_BUILD_ALL_STORE");
    let said = project.said(command.current_dir(project.path().join("kas")));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("nothing to do"), "{}", said.stdout);
    assert_eq!(project.events("events.jsonl")[0]["store"], "local");
}

#[test]
fn what_nothing_pins_grows_old() {
    let world = World::built();
    let none = ("ISAR_BUILD_ALL_MAX_AGE", "0");
    // The image is not named by its digest; asked again it is the same, but no age at all is too little.
    world.expect_with(&[], &[none], ALL);
    world.expect_with(&[], &[none, ("ISAR_BUILD_ALL_PINNED", "image")], NONE);
    world.expect_with(&[], &[("ISAR_BUILD_ALL_MAX_AGE", "forever")], NONE);
    // In CI nothing that is not pinned counts as unchanged, unless that is asked for.
    world.expect_with(&[], &[("CI", "true")], ALL);
    world.expect_with(
        &[],
        &[("CI", "true"), ("ISAR_BUILD_ALL_MAX_AGE", "1h")],
        NONE,
    );
    // Without the lock file the repository follows its default branch.
    fs::remove_file(world.project.path().join("kas/base.lock.yml")).unwrap();
    world.expect(&[], ALL);
    world.expect(&[], NONE);
    world.expect_with(&[], &[none, ("ISAR_BUILD_ALL_PINNED", "image")], ALL);
    world.expect_with(&[], &[none, ("ISAR_BUILD_ALL_PINNED", "image isar")], NONE);
    replace(
        &world.project,
        "kas/base.yml",
        "SNAPSHOT = \"1\"",
        "SNAPSHOT = \"0\"",
    );
    world.expect(&[], ALL);
    world.expect_with(&[], &[none, ("ISAR_BUILD_ALL_PINNED", "image isar")], ALL);
    world.expect_with(
        &[],
        &[none, ("ISAR_BUILD_ALL_PINNED", "image isar apt")],
        NONE,
    );
}

#[test]
fn an_old_image_is_asked_for_and_not_built_for() {
    let world = World::built();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let age = ("ISAR_BUILD_ALL_MAX_AGE", "2s");
    world.expect_with(&[], &[age], NONE);
    assert!(world.project.path().join("fake/image.asked").exists());
    std::thread::sleep(std::time::Duration::from_millis(2100));
    world.project.write("fake/image", "sha256:2222\n");
    world.expect_with(&[], &[age], ALL);
}

#[test]
fn an_input_that_changes_during_the_build_is_built_again() {
    let world = World::new();
    let layer = world.project.path().join("meta-one/conf/layer.conf");
    world.project.instead(
        "qemuamd64.base",
        &format!("deploy; echo more >> {}", layer.display()),
    );
    let said = world.run(&["--variant", "qemuamd64/base"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("the next run builds it again: during the build, layer meta-one has changed"),
        "{}",
        said.stderr
    );
    fs::remove_file(world.project.path().join("fake/qemuamd64.base.sh")).unwrap();
    world.expect(&[], ALL);
    world.expect(&[], NONE);
}

#[test]
fn an_input_that_changes_and_changes_back_during_the_build_is_built_again() {
    let world = World::new();
    let dir = world.project.path();
    let said_of = |doing: &str| {
        world.project.instead(
            "qemuamd64.base",
            &format!("deploy; cd {}; {doing}", dir.display()),
        );
        let said = world.run(&["--variant", "qemuamd64/base"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stderr
    };
    let written = |what: &str| {
        format!("during the build, {what} was written, though it is again what it was")
    };
    for (doing, what) in [
        (
            "cp meta-one/conf/layer.conf x; echo more >> x; mv x meta-one/conf/layer.conf; \
             head -n -1 meta-one/conf/layer.conf > x; mv x meta-one/conf/layer.conf",
            "meta-one/conf/layer.conf",
        ),
        (
            "touch meta-one/conf/new; rm meta-one/conf/new",
            "meta-one/conf",
        ),
        ("cp kas/base.yml x; mv x kas/base.yml", "kas/base.yml"),
    ] {
        let said = said_of(doing);
        assert!(said.contains(&written(what)), "{doing}: {said}");
    }
    let said =
        said_of("mkdir -p meta-one/conf/__pycache__; cat meta-one/conf/layer.conf > /dev/null");
    assert!(!said.contains("builds it again"), "{said}");
    let said = world.run(&["--variant", "qemuamd64/base"]);
    let said = said.stdout + &said.stderr;
    assert!(said.contains("unchanged: nothing to do"), "{said}");
}

#[test]
fn what_failed_or_was_asked_for_is_built() {
    let world = World::built();
    world.expect(&["--no-skip"], ALL);
    assert!(!world.project.path().join("fake/cleaned").exists());
    world.expect(&["--rebuild=qemuarm64/base"], &["qemuarm64/base"]);
    assert_eq!(world.project.read("fake/cleaned"), "qemuarm64/base\n");
    world.expect(&["--rebuild"], ALL);
    let said = world.run(&["--rebuild=nobody"]);
    assert_eq!(said.code, Some(3));
    assert!(said.stderr.contains("names none of the selected variants"));
    world.project.instead("qemuarm64.base", "exit 1");
    assert_eq!(world.run(&["--rebuild=qemuarm64/base"]).code, Some(10));
    fs::remove_file(world.project.path().join("fake/qemuarm64.base.sh")).unwrap();
    world.expect(&[], &["qemuarm64/base"]);
}

#[test]
fn skips_are_shown_where_a_run_is_only_told_of() {
    let world = World::built();
    append(&world.project, "kas/server-2.yml");
    let plan = world.project.run(&["plan"]);
    assert!(
        plan.stdout.contains("Total: 4 variants (3 unchanged), "),
        "{}",
        plan.stdout
    );
    let plan = world.project.run(&["plan", "--format", "json"]);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan["skips"].as_array().unwrap().len(), 3);
    let dry = world.project.run(&["--dry-run"]);
    assert_eq!(
        dry.stdout.matches("would skip ").count(),
        3,
        "{}",
        dry.stdout
    );
    assert_eq!(dry.stdout.matches("would build ").count(), 1);
    let said = world.expect(&[], &["qemuamd64/server-server-2"]);
    assert!(said.stdout.contains("3 unchanged"), "{}", said.stdout);
}
