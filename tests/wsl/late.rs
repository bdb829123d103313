//! What comes at a bad moment: an image that begins while drives come back, a pause that comes late, who is there
//! for a moment only.

use std::time::Duration;

use isar_build_all::settings::SyncGuard;

use crate::world::{IMAGE, World};
use support::eventually;

/// The number of `sync`, as a thread that is in it shows.
const SYNC: &str = if cfg!(target_arch = "aarch64") {
    "81 0x0 0x0\n"
} else {
    "162 0x0 0x0\n"
};

#[tokio::test]
async fn an_image_that_begins_while_drives_come_back_meets_none_of_them() {
    // The second sgdisk runs as soon as the container has been paused, or a drive is there.
    let second = "Succeeded\"\n\
        note \"Running task 3 of 3 (mc:y:/work/base.bb:do_image_wic)\"\n\
        note \"recipe base-1.0-r0: task do_image_wic: Started\"\n\
        until is_frozen || grep -q ' - 9p ' \"$W/proc/self/mountinfo\"; do sleep 0.02; done\n\
        rm \"$W/mounts-late\"\n\
        sgdisk\n\
        note \"recipe base-1.0-r0: task do_image_wic: Succeeded\"";
    let world = World::new(&IMAGE.replace("Succeeded\"", second));
    world.write("mounts-late", "");
    world.succeeds().await;
    let done = world.done();
    let images: Vec<&String> = done.iter().filter(|what| what.contains("sgdisk")).collect();
    assert_eq!(images, ["sgdisk of one", "sgdisk of one"], "{done:?}");
    let count = |what: &str| done.iter().filter(|line| *line == what).count();
    assert_eq!((count("umount c"), count("mount 9p c")), (2, 2), "{done:?}");
}

#[tokio::test]
async fn a_container_that_the_kernel_pauses_after_the_engine_gave_up_goes_on() {
    // The first pause is that which is tried early.
    for successes in ["0", "1"] {
        let world = World::new(IMAGE);
        world.write("freezes-late", successes);
        let ended = tokio::time::timeout(Duration::from_secs(120), world.succeeds());
        let ended = ended.await.expect("the build ends");
        let done = world.done();
        assert!(done.contains(&"sgdisk of one".to_owned()), "{done:?}");
        // Not only once the drives are away.
        assert!(!done.contains(&"still frozen".to_owned()), "{done:?}");
        assert!(
            ended.warnings[0].contains("waits for what is in the kernel"),
            "{:?}",
            ended.warnings
        );
    }
}

#[tokio::test]
async fn one_that_is_paused_long_after_the_engine_gave_up_goes_on_too() {
    let late = "Succeeded\"\necho 1 > \"$group/cgroup.freeze\"\nstill\nsay \"goes on\"";
    let world = World::new(&IMAGE.replace("Succeeded\"", late));
    world.write("no-pause", "");
    let ended = tokio::time::timeout(Duration::from_secs(120), world.succeeds());
    ended.await.expect("the build ends");
    let done = world.done();
    assert!(done.contains(&"goes on".to_owned()), "{done:?}");
}

#[tokio::test]
async fn a_container_that_would_stay_paused_is_removed_and_it_is_said_why() {
    let world = World::new(IMAGE);
    world.write("freezes-late", "0");
    world.write("no-tell", "");
    let ended = tokio::time::timeout(Duration::from_secs(60), world.fails());
    let ended = ended.await.expect("the build ends");
    let why = world.shorten(&ended.why());
    assert!(why.contains("cannot be resumed: sys/fs/cgroup/"), "{why}");
    assert!(
        why.contains("cgroup.freeze cannot be written: sh: Read-only file system"),
        "{why}"
    );
    assert_eq!(world.done(), ["rm"]);
}

#[tokio::test]
async fn a_container_whose_control_group_is_not_found_is_not_paused() {
    let world = World::new(IMAGE);
    world.write("no-group", "");
    let ended = world.succeeds().await;
    assert!(
        ended.warnings[0].contains("its control group was not found"),
        "{:?}",
        ended.warnings
    );
    let done = world.done();
    assert_eq!(done[..2], ["umount d", "umount c"], "{done:?}");
    assert!(!done.contains(&"pause".to_owned()), "{done:?}");
}

#[tokio::test]
async fn who_uses_a_drive_for_a_moment_is_no_reason_to_fail() {
    let world = World::new(IMAGE);
    world.write("busy.c", "once");
    world.succeeds().await;

    let world = World::new(IMAGE);
    world.process(78, "");
    let call = world.path("proc/78/task/1/syscall");
    std::fs::write(&call, SYNC).unwrap();
    let done = world.path("done");
    let ends = tokio::task::spawn_blocking(move || {
        let is_paused = || {
            std::fs::read_to_string(&done)
                .unwrap()
                .matches("\npause")
                .count()
                > 0
        };
        assert!(eventually(Duration::from_secs(30), is_paused));
        std::thread::sleep(Duration::from_millis(400));
        std::fs::remove_file(call).unwrap();
    });
    world.succeeds().await;
    ends.await.unwrap();
}

#[tokio::test]
async fn a_thread_that_was_paused_on_its_way_out_of_sync_is_not_in_it() {
    let world = World::new(IMAGE);
    world.process(78, "");
    world.write("proc/78/task/1/syscall", SYNC);
    world.write("proc/78/task/1/wchan", "do_freezer_trap");
    world.succeeds().await;
}

#[tokio::test]
async fn a_filter_that_was_there_before_the_container_is_none_of_ours() {
    let mut world = World::new(IMAGE);
    world.choice = SyncGuard::Seccomp;
    let one = "Seccomp:\t2\nSeccomp_filters:\t1\n";
    world.write("status", one);
    world.write("proc/1/status", one);
    let ended = world.fails().await;
    assert!(ended.why().contains("did not apply the seccomp profile"));

    let mut world = World::new(&IMAGE.replace("attend", "sleep 1"));
    world.choice = SyncGuard::Seccomp;
    world.write("status", &one.replace("filters:\t1", "filters:\t2"));
    world.write("proc/1/status", one);
    world.succeeds().await;
}
