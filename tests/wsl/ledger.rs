//! Who needs the drives away: over processes, and after deaths.

use std::process::{Command, Stdio};

use isar_build_all::event::outcome::Outcome;
use isar_build_all::wsl::drive_keeper::{SettledLeases, settle_dead};
use isar_build_all::wsl::ledger::{LeaseHolder, UnmountedDrives, peek};

use crate::world::{IMAGE, World, link};

/// Another process that needs the drives away, or did.
struct Other(std::process::Child);

impl Other {
    fn new(world: &World) -> (Other, LeaseHolder) {
        let child = Command::new("sleep")
            .arg("300")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        link(
            format!("/proc/{pid}").as_ref(),
            &world.path(&format!("proc/{pid}")),
        );
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let started = stat.rsplit_once(')').unwrap().1;
        let started = started.split_whitespace().nth(19).unwrap().parse().unwrap();
        let user = LeaseHolder {
            pid,
            started,
            build: "elsewhere".to_owned(),
        };
        (Other(child), user)
    }

    fn die(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both drives are away for `users`.
fn away(world: &World, boot: &str, users: Vec<LeaseHolder>) -> UnmountedDrives {
    let drives = world.machine().drives().unwrap().drives;
    let away = UnmountedDrives {
        boot: boot.to_owned(),
        drives,
        users,
    };
    let dir = world.path("ledger");
    std::fs::create_dir(&dir).unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    std::fs::set_permissions(&dir, mode).unwrap();
    world.write("ledger/drives.json", &serde_json::to_string(&away).unwrap());
    let whole = world.read("mountinfo.whole");
    let others = whole.lines().filter(|line| !line.contains(" - 9p "));
    let others: String = others.map(|line| format!("{line}\n")).collect();
    world.write("proc/1/mountinfo", &others);
    for name in ["c", "d"] {
        std::fs::remove_file(world.path(&format!("bdi/9p-{name}"))).unwrap();
    }
    away
}

#[tokio::test]
async fn what_another_process_has_unmounted_is_left_to_it() {
    let world = World::new(IMAGE);
    let (other, user) = Other::new(&world);
    away(&world, "this-boot", vec![user.clone()]);
    let ended = world.build().await;
    assert_eq!(
        ended.result.outcome,
        Outcome::Succeeded,
        "{:?}",
        ended.result.why
    );
    let done = world.done();
    assert!(!done.iter().any(|line| line.contains("mount ")), "{done:?}");
    assert!(done.contains(&"sgdisk of one".to_owned()), "{done:?}");
    let left = peek(&world.path("ledger")).unwrap().unwrap();
    assert_eq!(left.users, [user]);
    let settled = settle_dead(&world.machine(), &[]).unwrap();
    assert_eq!(settled.users.len(), 1);
    assert!(settled.remounted.mounted.is_empty());
    other.die();
    let settled = settle_dead(&world.machine(), &[]).unwrap();
    assert_eq!(settled.users, []);
    assert_eq!(settled.remounted.mounted.len(), 2);
    assert!(
        settled.remounted.problems.is_empty(),
        "{:?}",
        settled.remounted.problems
    );
    assert!(world.is_whole());
    // Once more does no harm.
    assert_eq!(
        settle_dead(&world.machine(), &[]).unwrap(),
        SettledLeases::default()
    );
}

#[test]
fn what_the_journal_has_comes_back_although_the_ledger_is_lost() {
    let world = World::new(IMAGE);
    let away = away(&world, "this-boot", Vec::new());
    std::fs::remove_dir_all(world.path("ledger")).unwrap();
    let known: Vec<_> = away
        .drives
        .iter()
        .map(|drive| ("this-boot".to_owned(), drive.clone()))
        .collect();
    let settled = settle_dead(&world.machine(), &known).unwrap();
    assert_eq!(settled.remounted.mounted.len(), 2);
    assert!(world.is_whole());
}

#[test]
fn what_was_unmounted_before_the_kernel_was_started_anew_is_left_alone() {
    let world = World::new(IMAGE);
    let away = away(&world, "another-boot", Vec::new());
    let known: Vec<_> = away
        .drives
        .iter()
        .map(|drive| ("another-boot".to_owned(), drive.clone()))
        .collect();
    let settled = settle_dead(&world.machine(), &known).unwrap();
    assert!(settled.remounted.mounted.is_empty());
    assert_eq!(world.done(), Vec::<String>::new());
    assert_eq!(peek(&world.path("ledger")).unwrap(), None);
}
