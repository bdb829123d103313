//! A build under the guard: when drives go and come, and what happens where they will not go.

use std::time::Duration;

use isar_build_all::event::outcome::Outcome;
use isar_build_all::exec::StopLevel;
use isar_build_all::settings::{DriveUsers, SyncGuard, UnmountMode};
use isar_build_all::wsl::drive_keeper::settle_dead;
use isar_build_all::wsl::unmount::UnmountDialog;

use crate::world::{IMAGE, World};
use support::eventually;

#[tokio::test]
async fn drives_are_away_exactly_while_the_image_is_made() {
    let world = World::new(IMAGE);
    let ended = world.succeeds().await;
    assert_eq!(
        world.done(),
        [
            // Tried early, to know that it can be done.
            "pause",
            "unpause",
            "pause",
            "umount d",
            "umount c",
            "unpause",
            "sgdisk of one",
            "mount 9p c",
            "mount 9p d",
            "end of one",
        ]
    );
    assert_eq!(
        world.read("options.c"),
        "rw,noatime,dirsync,aname=drvfs;path=C:\\;uid=1000,cache=mmap,access=client,trans=virtio\n"
    );
    assert_eq!(
        world.read("options.d"),
        "rw,noatime,cache=0x5,msize=65536,access=client,trans=virtio\n"
    );
    // It was written down, on the disk, before the first was unmounted.
    for then in ["journal.then", "ledger.then"] {
        let text = world.read(then);
        assert!(text.contains("mnt/c") && text.contains("mnt/d"), "{text}");
    }
    assert!(world.read("journal.then").contains("drives_away"));
    assert!(world.read("journal.jsonl").contains("drives_back"));
    let said: Vec<&String> = ended.warnings.iter().collect();
    assert_eq!(said, ["mnt/c, mnt/d unmounted while the image is made"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_share_one_unmount_and_the_last_brings_the_drives_back() {
    // The second begins its image while the first makes its own, which goes on until it has.
    let joined = "sgdisk\nn=0\n[ $id = two ] || until grep -q -e -two- \"$W/ledger/drives.json\" || [ $n -gt 300 ]; do\n\
                  n=$((n + 1)); sleep 0.02; done\n";
    let image = IMAGE.replace("sgdisk\n", joined);
    let world = World::new(&format!("[ $id = one ] || sleep 0.6\n{image}"));
    let (one, two) = tokio::join!(world.build_one("one"), world.build_one("two"));
    for ended in [&one, &two] {
        assert_eq!(ended.result.outcome, Outcome::Succeeded, "{}", ended.why());
    }
    let done = world.done();
    let count = |what: &str| done.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!((count("umount c"), count("mount 9p c")), (1, 1), "{done:?}");
    let at = |what: &str| done.iter().position(|line| line == what).unwrap();
    assert!(at("mount 9p c") > at("sgdisk of two"), "{done:?}");
    assert!(at("mount 9p c") > at("sgdisk of one"), "{done:?}");
    assert!(world.is_whole());
}

#[tokio::test]
async fn a_holder_is_named_and_the_container_does_not_go_on() {
    let world = World::new(IMAGE);
    world.write("busy.c", "");
    world.process(77, "mnt/c/notes");
    let ended = world.fails().await;
    let why = world.shorten(&ended.why());
    assert!(
        why.contains("pid 77 (vim notes.txt): working directory mnt/c/notes"),
        "{why}"
    );
    assert!(why.contains("FM-6"), "{why}");
    assert!(ended.result.hint.unwrap().contains("wsl.exe --terminate"));
    // The drive that was unmounted comes back only when nothing of the build can sync any more.
    assert_eq!(
        world.done(),
        [
            "pause",
            "unpause",
            "pause",
            "umount d",
            "umount c",
            "rm",
            "mount 9p d"
        ]
    );
}

#[tokio::test]
async fn a_holder_is_waited_for() {
    let mut world = World::new(IMAGE);
    world.holders = DriveUsers::Wait;
    world.write("busy.c", "");
    world.process(77, "mnt/c");
    let busy = world.path("busy.c");
    let (paused, done) = (world.path("ledger"), world.path("done"));
    let leaves = tokio::task::spawn_blocking(move || {
        let waits = || {
            std::fs::read_to_string(&done)
                .unwrap()
                .matches("umount c")
                .count()
                > 1
        };
        assert!(eventually(Duration::from_secs(30), waits));
        assert!(paused.exists());
        std::fs::remove_file(busy).unwrap();
    });
    let ended = world.build().await;
    leaves.await.unwrap();
    assert_eq!(ended.result.outcome, Outcome::Succeeded, "{}", ended.why());
    let done = world.done();
    assert!(done.contains(&"sgdisk of one".to_owned()), "{done:?}");
    let waits = ended.warnings.iter().find(|said| said.starts_with("waits"));
    assert!(
        waits.unwrap().contains("pid 77 (vim notes.txt)"),
        "{waits:?}"
    );
    assert!(world.is_whole());
}

#[tokio::test]
async fn the_user_is_asked_and_decides() {
    for (answer, outcome) in [(true, Outcome::Succeeded), (false, Outcome::Failed)] {
        let mut world = World::new(IMAGE);
        world.holders = DriveUsers::Ask;
        world.answers = Some(vec![answer]);
        world.write("busy.c", "");
        world.process(77, "mnt/c");
        let ended = world.build().await;
        assert_eq!(ended.result.outcome, outcome, "{}", ended.why());
        assert!(world.read("asked").contains("pid 77 (vim notes.txt)"));
        let sgdisk = world.done().contains(&"sgdisk of one".to_owned());
        assert_eq!(sgdisk, answer);
        assert!(world.is_whole());
    }
    // Where there is nobody to ask, nobody is waited for.
    let mut world = World::new(IMAGE);
    world.holders = DriveUsers::Ask;
    world.write("busy.c", "");
    assert_eq!(world.build().await.result.outcome, Outcome::Failed);
}

#[tokio::test]
async fn a_superblock_that_lives_on_is_no_proof_however_often_it_is_tried() {
    for how in [UnmountMode::Real, UnmountMode::Lazy] {
        let mut world = World::new(IMAGE);
        world.holders = DriveUsers::Wait;
        world.patience = Duration::from_secs(4);
        world.unmount = how;
        world.write("sticky.c", "");
        let ended = world.fails().await;
        let why = ended.why();
        assert!(why.contains("one 9p superblock still exists"), "{why}");
        assert!(why.contains("another WSL distribution"), "{why}");
        let done = world.done();
        assert!(
            !done.iter().any(|line| line.starts_with("sgdisk")),
            "{done:?}"
        );
        assert_eq!(done.last().unwrap(), "mount 9p d", "{done:?}");
    }
}

#[tokio::test]
async fn a_drive_in_another_namespace_is_found() {
    let mut world = World::new(IMAGE);
    world.holders = DriveUsers::Fail;
    world.write("sticky.c", "");
    world.process(90, "");
    let private = world.path("proc/90");
    for file in ["ns/mnt", "mountinfo"] {
        std::fs::remove_file(private.join(file)).unwrap();
    }
    crate::world::link("mnt:[2]".as_ref(), &private.join("ns/mnt"));
    world.write("proc/90/mountinfo", &world.read("mountinfo.whole"));
    world.write("sticky.d", "");
    let ended = world.fails().await;
    let why = world.shorten(&ended.why());
    assert!(
        why.contains("pid 90 (vim notes.txt): its mount namespace has mnt/c"),
        "{why}"
    );
}

#[tokio::test]
async fn a_sync_that_is_under_way_is_not_unmounted_against() {
    let world = World::new(IMAGE);
    world.process(78, "");
    let number = if cfg!(target_arch = "aarch64") {
        81
    } else {
        162
    };
    world.write("proc/78/task/1/syscall", &format!("{number} 0x0 0x0\n"));
    let ended = world.fails().await;
    assert!(ended.why().contains("sync(2) is under way already"));
    let done = world.done();
    assert!(
        !done.iter().any(|line| line.starts_with("umount")),
        "{done:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_it_waits_the_container_is_removed_and_never_goes_on() {
    for level in [StopLevel::Graceful, StopLevel::Kill] {
        let mut world = World::new(IMAGE);
        world.holders = DriveUsers::Wait;
        world.patience = Duration::from_secs(300);
        world.write("busy.c", "");
        let (done, stop) = (world.path("done"), world.stop.clone());
        let stops = tokio::task::spawn_blocking(move || {
            let waits = || {
                std::fs::read_to_string(&done)
                    .unwrap()
                    .matches("umount c")
                    .count()
                    > 1
            };
            assert!(eventually(Duration::from_secs(30), waits));
            stop.send(level).unwrap();
        });
        let ended = world.build().await;
        stops.await.unwrap();
        assert_eq!(ended.result.outcome, Outcome::Cancelled, "{}", ended.why());
        let done = world.done();
        let after = done.iter().rposition(|line| line == "pause").unwrap();
        let after: Vec<&str> = done[after..].iter().map(String::as_str).collect();
        assert!(!after.contains(&"unpause"), "{done:?}");
        assert!(
            !after.iter().any(|line| line.starts_with("sgdisk")),
            "{done:?}"
        );
        let rm = after.iter().position(|&line| line == "rm").unwrap();
        let back = after.iter().position(|&line| line == "mount 9p d").unwrap();
        assert!(rm < back, "{done:?}");
        assert!(world.is_whole());
    }
}

#[tokio::test]
async fn an_engine_that_cannot_pause_has_them_unmounted_long_before_the_image() {
    let world = World::new(IMAGE);
    world.write("no-pause", "");
    let ended = world.succeeds().await;
    assert_eq!(
        world.done(),
        [
            "umount d",
            "umount c",
            "sgdisk of one",
            "end of one",
            "mount 9p c",
            "mount 9p d"
        ]
    );
    assert!(ended.warnings[0].contains("cgroups v1 cannot pause"));
}

#[tokio::test]
async fn a_pause_that_failed_and_froze_the_container_all_the_same_is_undone() {
    let world = World::new(IMAGE);
    world.write("late-pause", "");
    world.succeeds().await;
    assert_eq!(
        world.done(),
        [
            "pause",
            "unpause",
            "umount d",
            "umount c",
            "sgdisk of one",
            "end of one",
            "mount 9p c",
            "mount 9p d"
        ]
    );

    // One that cannot be undone would let the build stand still for ever.
    let world = World::new(IMAGE);
    world.write("late-pause", "");
    world.write("no-unpause", "");
    let ended = world.fails().await;
    let why = ended.why();
    assert!(
        why.contains("cannot be resumed: Error: the runtime"),
        "{why}"
    );
    assert_eq!(world.done(), ["pause", "rm"]);
}

#[tokio::test]
async fn a_ledger_that_is_lost_meanwhile_loses_no_drive() {
    let world = World::new(&IMAGE.replace("sgdisk\n", "sgdisk\nrm \"$W/ledger/drives.json\"\n"));
    world.succeeds().await;
    let done = world.done();
    assert!(done.contains(&"mount 9p c".to_owned()), "{done:?}");
}

#[tokio::test]
async fn a_ledger_that_cannot_be_used_is_tried_again_as_the_build_ends() {
    // A directory in the place of the file; the build's end has it away.
    let break_it =
        "sgdisk\nmv \"$W/ledger/drives.json\" \"$W/kept\"; mkdir \"$W/ledger/drives.json\"\n";
    let mend_it = "sleep 1.5\n\
                   rmdir \"$W/ledger/drives.json\"; mv \"$W/kept\" \"$W/ledger/drives.json\"\nsay \"end";
    let world = World::new(
        &IMAGE
            .replace("sgdisk\n", break_it)
            .replace("say \"end", mend_it),
    );
    let ended = world.succeeds().await;
    let said = ended.warnings.join("\n");
    assert!(said.contains("are still unmounted"), "{said}");
    let done = world.done();
    let at = |what: &str| done.iter().position(|line| line == what);
    assert!(at("mount 9p c") > at("end of one"), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_to_the_watcher_stays_away_until_it_settles_the_ledger() {
    let world = World::new("");
    let dialog = UnmountDialog {
        say: &|_, _| {},
        ask: None,
        stopped: &|| false,
    };
    let keeper = world.keeper();
    let lease = || {
        keeper
            .lease("one", &|_| Ok(()), &dialog)
            .map_err(|_| ())
            .unwrap()
    };
    let mut left = lease();
    left.leave_to_watcher(true);
    drop(left);
    assert_eq!(world.done(), ["umount d", "umount c"]);
    settle_dead(&world.machine(), &[]).unwrap();
    assert!(world.is_whole());
    // A lease that is not left to the watcher mounts the drives itself.
    drop(lease());
    assert!(world.is_whole());
}

#[tokio::test]
async fn without_a_container_they_are_away_for_the_whole_build() {
    let mut world = World::new("say \"build of $id\"");
    world.kas = true;
    world.succeeds().await;
    assert_eq!(
        world.done(),
        [
            "umount d",
            "umount c",
            "build of one",
            "mount 9p c",
            "mount 9p d"
        ]
    );

    let mut world = World::new("say \"build of $id\"");
    world.kas = true;
    world.write("busy.d", "");
    world.fails().await;
    assert_eq!(
        world.done(),
        ["umount d", "umount c", "umount d", "mount 9p c"]
    );
}

#[tokio::test]
async fn a_failed_image_task_and_a_killed_build_bring_them_back_too() {
    let failing = IMAGE
        .replace("Succeeded", "Failed")
        .replace("say \"end", "exit 1; say \"end");
    for behave in [
        failing.as_str(),
        &IMAGE.replace("sgdisk\n", "still; rm \"$W/container.$name\"; exit 137\n"),
    ] {
        let world = World::new(behave);
        world.fails().await;
        let done = world.done();
        assert!(done.contains(&"mount 9p d".to_owned()), "{done:?}");
    }
}

#[tokio::test]
async fn a_drive_that_does_not_come_back_is_said_and_stays_written_down() {
    let world = World::new(IMAGE);
    world.write("gone.d", "");
    let ended = world.build().await;
    assert_eq!(ended.result.outcome, Outcome::Succeeded);
    let said = ended.warnings.join("\n");
    assert!(
        said.contains("mnt/d could not be mounted again: mount: tag-d: no such device"),
        "{said}"
    );
    let ledger = world.read("ledger/drives.json");
    assert!(
        ledger.contains("mnt/d") && !ledger.contains("mnt/c"),
        "{ledger}"
    );
    assert!(!world.read("journal.jsonl").contains("drives_back"));
}

#[tokio::test]
async fn under_a_filter_that_is_seen_nothing_is_unmounted() {
    for choice in [SyncGuard::Auto, SyncGuard::Seccomp] {
        let mut world = World::new(&IMAGE.replace("attend", "sleep 1"));
        world.choice = choice;
        let ended = world.succeeds().await;
        assert_eq!(world.done(), ["sgdisk of one meets a drive", "end of one"]);
        assert!(ended.warnings.is_empty(), "{:?}", ended.warnings);
        let option = "--security-opt seccomp=project/.isar-build-all/wsl/seccomp.json";
        let argv = world.shorten(&world.read("argv"));
        assert!(argv.contains(option), "{argv}");
    }
}

#[tokio::test]
async fn a_filter_that_the_engine_dropped_is_none() {
    let mut world = World::new(IMAGE);
    world.choice = SyncGuard::Auto;
    world.write("status", "Seccomp:\t0\n");
    let ended = world.succeeds().await;
    assert!(world.done().contains(&"sgdisk of one".to_owned()));
    assert!(
        ended.warnings[0].contains("did not apply"),
        "{:?}",
        ended.warnings
    );

    let mut world = World::new(IMAGE);
    world.choice = SyncGuard::Seccomp;
    world.write("status", "Seccomp:\t0\n");
    let ended = world.fails().await;
    assert!(ended.why().contains("did not apply the seccomp profile"));
    assert_eq!(world.done(), ["rm"]);
}
