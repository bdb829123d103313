//! `recover` itself: what it says and does, and what it leaves alone; and waiting for a run.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::world::{World, Wrong, kill, watcher_of};
use support::eventually;

/// A container that builds for ever.
fn endless(world: &World) {
    world.project.write("fake/deploy/qemuarm64", "");
    fs::remove_file(world.path("fake/deploy/qemuarm64")).unwrap();
    let pipe = world.path("fake/deploy/qemuarm64");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
}

fn containers(world: &World) -> usize {
    fs::read_dir(world.path("fake/containers")).map_or(0, Iterator::count)
}

fn wait_for_container(world: &World) {
    assert!(eventually(Duration::from_secs(20), || containers(world) == 1));
}

#[test]
fn with_nothing_left_it_says_so_in_one_line() {
    let world = World::new();
    let said = world.run(&["recover"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        said.stdout,
        "Nothing to recover: there is no [project]/.isar-build-all.\n"
    );
    assert_eq!(world.run(&["--machine", "qemuarm64"]).code, Some(0));
    let said = world.run(&["recover"]);
    assert_eq!(said.stdout, "Nothing to recover.\n");
    assert_eq!(world.check(), Wrong::default());
}

#[test]
fn what_killed_runs_left_is_found_said_and_removed() {
    let world = World::new();
    assert_eq!(world.run(&["--machine", "qemuarm64"]).code, Some(0));
    endless(&world);
    let mut tool = world.start(&["--machine", "qemuarm64"]);
    wait_for_container(&world);
    kill(watcher_of(tool.id()).unwrap());
    kill(tool.id() as i32);
    tool.wait().unwrap();
    let run = fs::read_dir(world.path(".isar-build-all/runs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .max()
        .unwrap();
    for file in [
        format!("artifacts/qemuarm64/.captured/{run}/x.wic.part"),
        "artifact-hashes.nix.part".to_owned(),
        ".isar-build-all/store/x.part".to_owned(),
    ] {
        world.project.write(&file, "half");
    }
    symlink(
        "/nowhere",
        world.path("artifacts/qemuarm64/x.wic.link.part"),
    )
    .unwrap();
    // Not ours to remove: the captures of another checkout's run, a link of the user's.
    world
        .project
        .write("artifacts/qemuarm64/.captured/other-run/y.wic", "theirs");
    symlink("gone", world.path("artifacts/qemuarm64/mine")).unwrap();

    let said = world.run(&["recover", "--dry-run"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stdout
            .contains("would end the build of qemuarm64/base")
    );
    assert!(said.stdout.ends_with("Nothing was changed.\n"));
    assert_eq!(containers(&world), 1);
    assert!(world.path("artifact-hashes.nix.part").exists());

    let said = world.run(&["recover"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for part in [
        "ended the build of qemuarm64/base",
        "removed captures in [project]/artifacts/qemuarm64/.captured/",
        "removed [project]/artifact-hashes.nix.part",
        "removed [project]/.isar-build-all/store/x.part",
        "removed [project]/artifacts/qemuarm64/x.wic.link.part",
        "note: [project]/artifacts/qemuarm64/.captured/other-run",
    ] {
        assert!(said.stdout.contains(part), "{part} in {}", said.stdout);
    }
    assert_eq!(containers(&world), 0);
    fs::remove_dir_all(world.path("artifacts/qemuarm64/.captured")).unwrap();
    assert!(world.path("artifacts/qemuarm64/mine").is_symlink());
    fs::remove_file(world.path("artifacts/qemuarm64/mine")).unwrap();
    assert_eq!(world.check(), Wrong::default());
}

#[test]
fn a_container_that_no_journal_knows_is_found_by_its_label() {
    let world = World::new();
    endless(&world);
    let mut tool = world.start(&["--machine", "qemuarm64"]);
    wait_for_container(&world);
    kill(watcher_of(tool.id()).unwrap());
    kill(tool.id() as i32);
    tool.wait().unwrap();
    fs::remove_file(world.path(".isar-build-all/journal.jsonl")).unwrap();
    world.project.write(
        "fake/containers/theirs",
        "isar-build-all.state=/elsewhere\n",
    );
    let said = world.run(&["recover"]);
    assert!(
        said.stdout.contains("removed container isar-build-all-"),
        "{}",
        said.stdout
    );
    assert_eq!(containers(&world), 1);
    assert!(world.path("fake/containers/theirs").exists());
}

#[test]
fn entries_without_a_target_go_and_their_hashes_are_said() {
    let world = World::new();
    assert_eq!(world.run(&["--machine", "qemuarm64"]).code, Some(0));
    let entry = world.path("artifacts/qemuarm64/isar-base-qemuarm64.wic");
    fs::remove_file(fs::read_link(&entry).unwrap()).unwrap();
    let said = world.run(&["recover"]);
    assert_eq!(said.code, Some(0));
    assert!(said.stdout.contains("which is gone"), "{}", said.stdout);
    assert!(
        said.stdout
            .contains("not in this store: isar-base-qemuarm64.wic;"),
        "{}",
        said.stdout
    );
    assert!(!entry.is_symlink());
}

#[test]
fn a_living_run_is_left_alone_and_can_be_waited_for() {
    let world = World::new();
    endless(&world);
    let mut tool = world.start(&["--machine", "qemuarm64"]);
    wait_for_container(&world);
    for args in [&["recover"][..], &["--machine", "qemuarm64", "--wait=1"]] {
        let said = world.run(args);
        assert_eq!(said.code, Some(4), "{args:?}");
        assert!(said.stderr.contains(&format!("process {}", tool.id())));
    }
    assert_eq!(containers(&world), 1);
    let waiting = world.start(&["recover", "--wait"]);
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    let pid = rustix::process::Pid::from_child(&tool);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(tool.wait().unwrap().code(), Some(130));
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(20));
}
