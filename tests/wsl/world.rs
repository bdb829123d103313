//! A machine with two Windows drives, made of files and small programs: what mounts and unmounts edits the list
//! of mounts, the engine pauses by the file of a control group, and all of them write what they did into one list, in order.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isar_build_all::event::EventKind;
use isar_build_all::event::outcome::Outcome;
use isar_build_all::exec::StopLevel;
use isar_build_all::settings::{CommandLine, DriveUsers, SyncGuard, UnmountMode};
use isar_build_all::steps::build::BuildTools;
use isar_build_all::steps::result::StepResult;
use isar_build_all::wsl::WslHost;
use isar_build_all::wsl::drive_keeper::DriveKeeper;
use isar_build_all::wsl::guard_setup::GuardSetup;
use isar_build_all::wsl::seccomp::write_profile;
use isar_build_all::wsl::unmount::{AskRetry, UnmountPolicy};
use tokio::sync::watch;

use support::building;
use support::{script, tool};

/// Writes its words into the list and knows the world's directory as `$W`.
const HEAD: &str =
    "#!/bin/sh\nW=$(dirname \"$(dirname \"$0\")\")\nsay() { echo \"$*\" >> \"$W/done\"; }\n";

const SUDO: &str = r#"
while :; do case $1 in -*) shift ;; *) break ;; esac; done
[ -e "$W/no-tell" ] && [ "$5 $6" = "sh -c" ] && { echo "sh: Read-only file system" >&2; exit 2; }
PATH=$W/bin:$PATH exec "$@"
"#;

const TIMEOUT: &str = r#"
shift 3
exec "$@"
"#;

const UMOUNT: &str = r#"
for last; do :; done
name=$(basename "$last")
[ -e "$W/slow" ] && sleep 1
say "umount $name"
# What must be on the disk by now.
cp "$W/journal.jsonl" "$W/journal.then" 2>/dev/null
cp "$W/ledger/drives.json" "$W/ledger.then" 2>/dev/null
if [ -e "$W/freezes-late" ] && [ "$name" = d ]; then
	grep -q 1 "$W"/sys/fs/cgroup/*/cgroup.freeze && say "still frozen"
	for group in "$W"/sys/fs/cgroup/*; do echo 1 > "$group/cgroup.freeze"; done
fi
if [ -e "$W/busy.$name" ]; then
	grep -q once "$W/busy.$name" && rm "$W/busy.$name"
	echo "umount: $last: target is busy." >&2
	exit 32
fi
grep -v " $last " "$W/proc/self/mountinfo" > "$W/mountinfo.new"
mv "$W/mountinfo.new" "$W/proc/self/mountinfo"
[ -e "$W/sticky.$name" ] || rm -f "$W/bdi/9p-$name"
"#;

const MOUNT: &str = r#"
if [ $# = 2 ]; then
	say "mount $1 $(basename "$2")"
	exit
fi
# mount -t TYPE -o OPTIONS SOURCE POINT
name=$(basename "$6")
say "mount $2 $name"
echo "$4" > "$W/options.$name"
tries=0
while [ -e "$W/mounts-late" ] && [ $tries -lt 250 ] && ! ls "$W" | grep -q '^paused'; do
	sleep 0.02
	tries=$((tries + 1))
done
[ -e "$W/gone.$name" ] && { echo "mount: $5: no such device" >&2; exit 32; }
grep " $6 " "$W/mountinfo.whole" | sed 's/0:4/0:5/' >> "$W/proc/self/mountinfo"
: > "$W/bdi/9p-$name"
"#;

/// Keeps its own word on whether a container is paused (`paused.NAME`), and asks nobody.
const PODMAN: &str = r#"
for last; do :; done
freeze=$W/sys/fs/cgroup/$last/cgroup.freeze
case "$1" in
pause)
	[ -e "$W/no-pause" ] && { echo "Error: cgroups v1 cannot pause" >&2; exit 125; }
	[ -e "$W/container.$last" ] || { echo "Error: no such container" >&2; exit 125; }
	if [ -e "$W/freezes-late" ] && [ "$(grep -c '^pause' "$W/done")" = "$(cat "$W/freezes-late")" ]; then
		echo 1 > "$freeze"
		echo "Error: waits for what is in the kernel" >&2
		exit 125
	fi
	echo 1 > "$freeze"
	: > "$W/paused.$last"; say pause
	[ -e "$W/late-pause" ] && { echo "Error: timed out" >&2; exit 125; }
	exit 0 ;;
unpause)
	[ -e "$W/paused.$last" ] || { echo "Error: $last is not paused, can't unpause" >&2; exit 125; }
	[ -e "$W/no-unpause" ] && { echo "Error: the runtime failed" >&2; exit 125; }
	# The list has it before the container can write what it does next.
	rm -f "$W/paused.$last"; say unpause
	echo 0 > "$freeze" ;;
inspect) test -e "$W/container.$last" && echo "$(cat "$W/container.$last") $last" ;;
exec) cat "$W/status" ;;
container) test -e "$W/container.$last" ;;
stop) test -e "$W/container.$last" && ! test -e "$W/paused.$last" && rm "$W/container.$last" && say stop ;;
rm)
	test -e "$W/container.$last" || exit 1
	# It lets go on first what it believes paused.
	[ -e "$W/paused.$last" ] && grep -q 0 "$freeze" && { echo "Error: container not paused" >&2; exit 125; }
	rm -rf "$W/container.$last" "$W/paused.$last" "${freeze%/*}"
	say rm ;;
esac
"#;

/// What a build of an image says, and what its sgdisk meets: drives that are mounted, or none. It stands
/// still while it is paused and ends with its container.
const KAS_CONTAINER: &str = r#"
W=$(dirname "$W")
id=$(basename "$(dirname "$KAS_WORK_DIR")")
printf '%s\n' "$@" > "$W/argv"
name=$(printf '%s' "$3" | sed 's/.*--name \([^ ]*\) .*/\1/')
group=$W/sys/fs/cgroup/$name
mkdir -p "$group" "$W/proc/9$$"
echo 0 > "$group/cgroup.freeze"
# To those who look through all processes it is one that ends.
echo "9$$ (conmon) Z 1" > "$W/proc/9$$/stat"
[ -e "$W/no-group" ] || echo "0::/$name" > "$W/proc/9$$/cgroup"
echo "9$$" > "$W/container.$name"
note() { echo "2026-11-22 03:24:39 - INFO     - NOTE: $1" >&2; }
is_frozen() { grep -q 1 "$group/cgroup.freeze" 2>/dev/null; }
still() {
	while is_frozen; do sleep 0.02; done
	[ -e "$W/container.$name" ] || exit 137
}
# As long as a real image task takes until its sgdisk: the guard has had its time. A pause that ends while the
# drives are still there was only the guard's trial.
attend() {
	tries=0
	while [ $tries -lt 1500 ] && grep -q ' - 9p ' "$W/proc/self/mountinfo"; do
		still
		sleep 0.02
		tries=$((tries + 1))
	done
}
sgdisk() {
	still
	if grep -q ' - 9p ' "$W/proc/self/mountinfo"; then say "sgdisk of $id meets a drive"; else say "sgdisk of $id"; fi
}
note "Running task 1 of 3 (mc:x:/work/base.bb:do_rootfs_install)"
sleep 0.7
. "$W/behave"
rm -rf "$W/container.$name" "$group"
"#;

/// An image task as most are.
pub const IMAGE: &str = r#"
still
note "Running task 2 of 3 (mc:x:/work/base.bb:do_image_wic)"
note "recipe base-1.0-r0: task do_image_wic: Started"
attend
sgdisk
note "recipe base-1.0-r0: task do_image_wic: Succeeded"
sleep 0.5
say "end of $id"
"#;

pub struct World {
    dir: tempfile::TempDir,
    pub choice: SyncGuard,
    pub holders: DriveUsers,
    pub unmount: UnmountMode,
    pub patience: Duration,
    pub kas: bool,
    /// Answers that the user gives, one after the other; whoever is in the way ends before each.
    pub answers: Option<Vec<bool>>,
    pub stop: watch::Sender<StopLevel>,
}

/// How a build ended, and what it warned of.
pub struct Ended {
    pub result: StepResult,
    pub warnings: Vec<String>,
}

impl Ended {
    pub fn why(&self) -> String {
        self.result.why.clone().unwrap_or_default()
    }
}

impl World {
    pub fn new(behave: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        let world = World {
            dir,
            choice: SyncGuard::Unmount,
            holders: DriveUsers::Fail,
            unmount: UnmountMode::Real,
            patience: Duration::from_secs(20),
            kas: false,
            answers: None,
            stop: watch::channel(StopLevel::Run).0,
        };
        let bin = world.path("bin");
        for dir in [
            "bin",
            "bin/run",
            "bdi",
            "mnt/c",
            "mnt/d",
            "project",
            "proc/sys/kernel/random",
            "sys/fs/cgroup",
        ] {
            fs::create_dir_all(world.path(dir)).unwrap();
        }
        for (name, body) in [
            ("sudo", SUDO),
            ("timeout", TIMEOUT),
            ("umount", UMOUNT),
            ("mount", MOUNT),
            ("podman", PODMAN),
        ] {
            script(&bin, name, &format!("{HEAD}{body}"));
        }
        for name in ["kas-container", "kas"] {
            script(&bin.join("run"), name, &format!("{HEAD}{KAS_CONTAINER}"));
        }
        world.write("behave", behave);
        world.write("done", "");
        world.write(
            "wsl.conf",
            &format!("[automount]\nroot = {}/\n", world.path("mnt").display()),
        );
        world.write("proc/sys/kernel/random/boot_id", "this-boot\n");
        world.write("status", "Name:\tcat\nSeccomp:\t2\n");
        let mut mounts = "24 1 8:32 / / rw,relatime shared:1 - ext4 /dev/sdc rw\n\
                          30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
            .to_owned();
        for (id, name, options) in [
            (75, "c", "dirsync,aname=drvfs;path=C:\\;uid=1000,mmap"),
            (76, "d", "cache=5,msize=65536"),
        ] {
            let point = world.path(&format!("mnt/{name}"));
            let _ = writeln!(
                mounts,
                "{id} 24 0:4{id} / {} rw,noatime shared:{id} - 9p tag-{name} rw,{options},access=client,trans=virtio",
                point.display()
            );
            world.write(&format!("bdi/9p-{name}"), "");
        }
        world.process(1, "");
        symlink("1", world.path("proc/self")).unwrap();
        world.write("proc/1/mountinfo", &mounts);
        world.write("mountinfo.whole", &mounts);
        // We ourselves, as the real machine knows us: this is how a living user is told.
        let own = std::process::id();
        symlink(format!("/proc/{own}"), world.path(&format!("proc/{own}"))).unwrap();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// What was done, in order; what was tried several times in a row, once.
    pub fn done(&self) -> Vec<String> {
        let mut done: Vec<String> = self.read("done").lines().map(str::to_owned).collect();
        done.dedup();
        done
    }

    /// A process in our mount namespace, with its working directory.
    pub fn process(&self, pid: u32, cwd: &str) {
        let dir = self.path(&format!("proc/{pid}"));
        for inner in ["ns", "fdinfo", "task/1"] {
            fs::create_dir_all(dir.join(inner)).unwrap();
        }
        symlink("mnt:[1]", dir.join("ns/mnt")).unwrap();
        if pid != 1 {
            symlink("../1/mountinfo", dir.join("mountinfo")).unwrap();
        }
        if !cwd.is_empty() {
            symlink(self.path(cwd), dir.join("cwd")).unwrap();
        }
        fs::write(dir.join("cmdline"), "vim\0notes.txt\0").unwrap();
        fs::write(dir.join("stat"), format!("{pid} (vim) S 1")).unwrap();
    }

    pub fn machine(&self) -> WslHost {
        WslHost {
            wsl: Some("Debian".to_owned()),
            proc: self.path("proc"),
            bdi: self.path("bdi"),
            conf: self.path("wsl.conf"),
            tags: self.path("tags"),
            ledger: self.path("ledger"),
            elevate: vec![self.path("bin/sudo").display().to_string(), "-n".to_owned()],
            program: tool(),
        }
    }

    fn asker(&self) -> Option<Arc<AskRetry>> {
        let answers = Mutex::new(self.answers.clone()?.into_iter());
        let (busy, asked) = (self.path("busy.c"), self.path("asked"));
        Some(Arc::new(move |what: &str, _: &dyn Fn() -> bool| {
            fs::write(&asked, what).unwrap();
            let again = answers.lock().unwrap().next().unwrap();
            if again {
                fs::remove_file(&busy).unwrap();
            }
            again
        }))
    }

    pub fn keeper(&self) -> DriveKeeper {
        let policy = UnmountPolicy {
            unmount: self.unmount,
            holders: self.holders,
            patience: self.patience,
        };
        DriveKeeper::new(Arc::new(self.machine()), policy)
    }

    pub async fn build(&self) -> Ended {
        self.build_one("one").await
    }

    pub async fn build_one(&self, id: &str) -> Ended {
        let profile = (self.choice != SyncGuard::Unmount)
            .then(|| write_profile(&self.path("project/.isar-build-all")).unwrap());
        let tools = BuildTools {
            runner: building::runner(&self.path("bin/run"), &self.path("bin"), self.kas),
            watcher: None,
            guarding: Some(GuardSetup {
                choice: self.choice,
                profile,
                outer_filters: self.machine().filters(),
                keeper: Ok(self.keeper()),
                ask: self.asker(),
            }),
            system_root: self.dir.path().to_owned(),
            project_dir: self.path("project"),
        };
        let line = CommandLine {
            stop_timeout: Some(3),
            ..CommandLine::default()
        };
        let (dir, stop) = (self.dir.path(), self.stop.subscribe());
        let (result, events) = building::build_one(dir, id, line, stop, &tools).await;
        let warnings = events
            .iter()
            .filter_map(|event| match event {
                EventKind::Warning { message, .. } => Some(self.shorten(message)),
                _ => None,
            })
            .collect();
        Ended { result, warnings }
    }

    /// A build that ends well, after which the drives are back.
    pub async fn succeeds(&self) -> Ended {
        self.ends(Outcome::Succeeded).await
    }

    /// A build that fails, after which the drives are back.
    pub async fn fails(&self) -> Ended {
        self.ends(Outcome::Failed).await
    }

    async fn ends(&self, outcome: Outcome) -> Ended {
        let ended = self.build().await;
        assert_eq!(ended.result.outcome, outcome, "{}", ended.why());
        assert!(self.is_whole(), "{}", self.read("proc/1/mountinfo"));
        ended
    }

    pub fn shorten(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.dir.path().display()), "")
    }

    /// Whether both drives are mounted as they were at first, but for the device number.
    pub fn is_whole(&self) -> bool {
        let without_device = |text: String| {
            let mut lines: Vec<String> = text
                .lines()
                .map(|line| line.replace("0:5", "0:4"))
                .collect();
            lines.sort();
            lines
        };
        without_device(self.read("proc/1/mountinfo"))
            == without_device(self.read("mountinfo.whole"))
            && !self.path("ledger/drives.json").exists()
    }
}

/// What the world's directory is, for those that make more of it.
pub fn link(target: &Path, link: &Path) {
    symlink(target, link).unwrap();
}
