//! A disk that is full at every stage of a registration: what was registered before stays, nothing is half
//! done, and once there is room again everything goes on. The disk is a small file system of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::scale;
use crate::world::{World, Wrong};
use support::counts::count;
use support::eventually;
use support::project::Said;
use support::random::Random;

const ONE: [&str; 2] = ["--machine", "qemuarm64"];

/// From when on the disk is full.
#[derive(Debug, Clone, Copy)]
enum When {
    AtOnce,
    Building,
}

/// Bytes of the file system without what the runs leave in a store that nobody collects.
const SIZE: u64 = 24 << 20;

/// What a case may leave: two runs of a variant with 1.5 MB.
const OF_A_CASE: u64 = 4 << 20;

/// A world with a small file system in the place of one of its directories.
struct Full {
    world: World,
    place: PathBuf,
    _image: tempfile::TempDir,
}

fn succeed(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
}

impl Full {
    fn at(dir: &str) -> Full {
        Full::of(World::new(), dir)
    }

    fn of(world: World, dir: &str) -> Full {
        let place = world.path(dir);
        let image = tempfile::tempdir().unwrap();
        let file = image.path().join("disk");
        fs::File::create(&file)
            .unwrap()
            .set_len(SIZE + cases() * OF_A_CASE)
            .unwrap();
        let (file, owner) = (
            file.to_str().unwrap(),
            format!(
                "root_owner={}:{}",
                rustix::process::getuid().as_raw(),
                rustix::process::getgid().as_raw()
            ),
        );
        let options = [
            "-q",
            "-t",
            "ext4",
            "-b",
            "1024",
            "-m",
            "0",
            "-O",
            "^has_journal",
            "-E",
        ];
        succeed("/sbin/mke2fs", &[&options[..], &[&owner, file]].concat());
        fs::create_dir_all(&place).unwrap();
        let shown = place.to_str().unwrap();
        succeed("sudo", &["-n", "mount", "-o", "loop", file, shown]);
        Full {
            world,
            place,
            _image: image,
        }
    }

    fn run(&self, args: &[&str]) -> Said {
        // What is measured would keep a build from being started.
        let _ = fs::remove_dir_all(self.world.path(".isar-build-all/sizes"));
        let mut command = self.world.command(args);
        command
            .env("ISAR_BUILD_ALL_BUILD_SPACE", "0")
            .env("ISAR_BUILD_ALL_MIN_FREE", "0")
            .env("ISAR_BUILD_ALL_BUILD_ROOT", self.world.path("build"));
        self.world.project.said(&mut command)
    }

    /// Leaves so many bytes free: from now on, or from when a build runs, which is not started where there
    /// is no room.
    fn fill(&self, leave: u64, when: When) {
        let script = format!(
            "(cd {} && free=$(($(stat -f -c '%a * %S' .) - {leave})) && \
             {{ [ $free -le 0 ] || fallocate -l $free ballast || head -c $free /dev/zero > ballast; }}) 2> /dev/null || true\n",
            self.place.display()
        );
        match when {
            When::AtOnce => succeed("sh", &["-c", &script]),
            When::Building => self.world.project.write("fake/during.sh", &script),
        }
    }

    fn free(&self) {
        let _ = fs::remove_file(self.world.path("fake/during.sh"));
        // Where the run did not come to its build there is none.
        let _ = fs::remove_file(self.place.join("ballast"));
    }

    fn check(&self) -> Wrong {
        let mut wrong = self.world.check();
        let ours = self.place.to_str().unwrap().to_owned();
        wrong.mounts.retain(|mount| !mount.contains(&ours));
        wrong
    }

    fn hashes(&self) -> String {
        self.world.project.read("artifact-hashes.nix")
    }

    /// Runs into the full disk with another number of bytes free each time: a quarter of all cases.
    fn cases(&self, name: &str, when: When, seed: u64, most: u64) {
        let cases = cases();
        let mut random = Random::of(seed);
        let first = self.run(&ONE);
        assert_eq!(first.code, Some(0), "{}", first.stderr);
        let mut met = 0;
        for case in 0..cases {
            let before = self.hashes();
            // None at all, then some.
            let leave = if case == 0 { 0 } else { random.below(most) };
            let at = format!("{name}, {leave} bytes free");
            self.fill(leave, when);
            let said = self.run(&ONE);
            let at = format!("{at}: {}", said.stderr);
            // No code is a signal, as of a write to mapped memory behind which there is no room.
            assert!(
                matches!(said.code, Some(0 | 4 | 10)),
                "{:?}: {at}",
                said.code
            );
            let was_full = [
                "No space left",
                "database or disk is full",
                "disk I/O error",
            ]
            .iter()
            .any(|why| said.stderr.contains(why));
            // Where it is known to be too full, nothing is begun, and that is no case of a full disk.
            let was_refused = said.stderr.contains("not enough disk space");
            assert!(was_full || was_refused || said.code == Some(0), "{at}");
            let wrong = self.check();
            let is_lost = !wrong.wrong_hashes.is_empty()
                || !wrong.dangling.is_empty()
                || (said.code != Some(0) && self.hashes() != before);
            met += usize::from(was_full);
            count(&[
                ("enospc_cases", usize::from(was_full)),
                ("enospc_lost", usize::from(is_lost)),
            ]);
            assert!(!is_lost, "{wrong:?}: {at}");
            self.free();
            let recovered = self.run(&["recover"]);
            assert_eq!(recovered.code, Some(0), "{}: {at}", recovered.stdout);
            self.in_order(&at);
            let again = self.run(&ONE);
            assert_eq!(again.code, Some(0), "{}: {at}", again.stderr);
            assert_ne!(self.hashes(), before, "{at}");
            self.in_order(&at);
        }
        println!("{name}: the disk was full in {met} of {cases} runs");
        assert!(met > 0, "{name}: the disk was never full");
    }

    fn in_order(&self, at: &str) {
        let wrong = self.check();
        wrong.count();
        assert_eq!(wrong, Wrong::default(), "{at}");
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let place = self.place.to_str().unwrap();
        let unmounted = eventually(Duration::from_secs(20), || {
            let output = Command::new("sudo").args(["-n", "umount", place]).output();
            output.is_ok_and(|output| output.status.success())
        });
        if !unmounted && !std::thread::panicking() {
            panic!("{place} stays mounted");
        }
    }
}

/// A quarter of all.
fn cases() -> u64 {
    scale("ISAR_FAULTS_ENOSPC", 12).div_ceil(4)
}

#[test]
fn at_the_capture() {
    Full::at("artifacts").cases("capture", When::Building, 1, 1_600_000);
}

#[test]
fn at_what_is_made_of_a_capture() {
    let full = Full::of(World::new().packed(), "artifacts");
    full.cases("products", When::Building, 6, 3_200_000);
}

#[test]
fn at_the_store() {
    Full::at(".isar-build-all/store").cases("store", When::Building, 2, 1_600_000);
}

#[test]
fn at_the_hashes_file() {
    let full = Full::at("hashes");
    // Behind a link, so that the small disk has nothing else.
    symlink(
        "hashes/artifact-hashes.nix",
        full.world.path("artifact-hashes.nix"),
    )
    .unwrap();
    full.cases("hashes file", When::AtOnce, 3, 3_000);
}

#[test]
fn at_the_records() {
    Full::at(".isar-build-all").cases("records", When::AtOnce, 4, 300_000);
}

#[test]
fn at_the_journal_in_the_middle_of_a_run() {
    Full::at(".isar-build-all").cases("journal", When::Building, 5, 60_000);
}
