//! The kill storm on the real kas-container: whatever the instant, nothing of a build lives on, and what is
//! registered is right. `ISAR_FAULTS_KILLS_REAL` (2) says how often; `ISAR_FAULTS_SEED` repeats a fresh seed.

use std::collections::BTreeSet;
use std::fs;
use std::iter::successors;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use isar_build_all::hashes_file::parse;
use sha2::{Digest as _, Sha256};

use crate::project::{Project, output};
use support::PrivateNix;
use support::counts::count;
use support::random::{Random, fresh_seed};
use support::{command_line, is_watcher, kill, lives, parent_of, pids, watcher_of};

const SELECTED: [&str; 6] = [
    "--machine",
    "qemuamd64",
    "--variant",
    "server-static-*",
    "-j",
    "2",
];

struct World {
    project: Project,
    nix: Option<PrivateNix>,
    /// How long a run takes.
    whole: Duration,
    /// How many hashes that run wrote, which is how many there are to be ever after.
    registered: usize,
    /// Containers' root file systems that were mounted before.
    roots: BTreeSet<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Wrong {
    hashes: Vec<String>,
    dangling: Vec<String>,
    containers: Vec<String>,
    mounts: Vec<String>,
    locks: Vec<String>,
    parts: Vec<String>,
}

impl World {
    fn new(nix: Option<PrivateNix>) -> World {
        let mut world = World {
            project: Project::new(),
            nix,
            whole: Duration::ZERO,
            registered: 0,
            roots: container_roots(),
        };
        let begin = Instant::now();
        world.run(&SELECTED, "the first run");
        world.whole = begin.elapsed();
        world.registered = world.project.hashes().len();
        assert!(world.registered > 0);
        assert_eq!(world.check(), Wrong::default());
        world
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.project.command(args);
        match &self.nix {
            None => command.env("ISAR_BUILD_ALL_STORE", "local"),
            Some(nix) => {
                command.env("ISAR_BUILD_ALL_STORE", "nix");
                command.envs(nix.env().into_iter().filter(|(name, _)| name != "HOME"))
            }
        };
        command
    }

    fn run(&self, args: &[&str], at: &str) -> String {
        let run = self.command(args).output().unwrap();
        let said = [run.stdout, run.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert_eq!(run.status.code(), Some(0), "{at}: {}\n{}", said[0], said[1]);
        said.concat()
    }

    fn start(&self) -> Child {
        let log = fs::File::create(self.project.path().join("tool.log")).unwrap();
        self.command(&SELECTED)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Kills a run and puts everything in order again. Returns whether it was still going on.
    fn kill_once(&mut self, random: &mut Random, at: &str) -> bool {
        let mut tool = self.start();
        let most = u64::try_from(self.whole.as_micros()).unwrap();
        let (begin, instant) = (Instant::now(), Duration::from_micros(random.below(most)));
        while begin.elapsed() < instant {
            if tool.try_wait().unwrap().is_some() {
                // The first run had to make what this one found.
                self.whole = begin.elapsed();
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let with_watcher = random.below(2) == 0;
        if with_watcher && let Some(watcher) = watcher_of(tool.id()) {
            kill(watcher);
        }
        tool.kill().unwrap();
        if tool.wait().unwrap().code().is_some() {
            return false;
        }
        count(&[("kills_real", 1)]);
        // What was asked for goes on meanwhile.
        std::thread::sleep(Duration::from_millis(random.below(3000)));
        let said = self.run(&["recover"], at);
        let at = format!("{at}, with its watcher: {with_watcher}, after\n{said}");
        self.in_order(&at);
        let again = self.run(&["recover"], &at);
        assert_eq!(again, "Nothing to recover.\n", "{at}");
        let rerun = self.run(&SELECTED, &at);
        self.in_order(&format!("{at}{rerun}"));
        true
    }

    fn in_order(&self, at: &str) {
        let wrong = self.check();
        count(&[
            ("wrong_hashes", wrong.hashes.len()),
            ("dangling_entries", wrong.dangling.len()),
            ("left_containers", wrong.containers.len()),
            ("left_mounts", wrong.mounts.len()),
            ("left_locks", wrong.locks.len()),
            ("left_parts", wrong.parts.len()),
        ]);
        assert_eq!(wrong, Wrong::default(), "{at}");
        assert_eq!(self.project.hashes().len(), self.registered, "{at}");
    }

    fn check(&self) -> Wrong {
        let mut wrong = Wrong::default();
        let checkout = self.project.path();
        let named = self.check_hashes(&mut wrong);
        wrong.containers = self.project.containers();
        wrong.containers.extend(self.processes());
        let here = checkout.to_str().unwrap();
        let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = mounted.lines().filter(|line| line.contains(here));
        wrong.mounts = ours.map(str::to_owned).collect();
        let roots = container_roots();
        wrong.mounts.extend(roots.difference(&self.roots).cloned());
        let mut files = Vec::new();
        collect(&checkout, &mut files);
        for path in files {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_entry = path.parent().unwrap().parent() == Some(&checkout.join("artifacts"));
            let shown = path.display().to_string();
            if name.ends_with(".lock") {
                wrong.locks.push(shown);
            } else if name.ends_with(".part")
                || name == "journal.jsonl"
                || path.iter().any(|part| part == ".captured")
                || (is_entry && !named.contains(&name))
            {
                wrong.parts.push(shown);
            }
        }
        wrong
    }

    fn check_hashes(&self, wrong: &mut Wrong) -> BTreeSet<String> {
        let text = fs::read_to_string(self.project.path().join("artifact-hashes.nix"));
        let mut named = BTreeSet::new();
        let mut entries = Vec::new();
        let text = text.unwrap_or_default();
        // Before the first registration there is none; how many there are to be is asked elsewhere.
        if text.is_empty() {
            return named;
        }
        for (name, sha256) in parse(&text).unwrap().entries() {
            named.insert(name.to_owned());
            let entry = self.project.path().join("artifacts/qemuamd64").join(name);
            let Ok(store_path) = fs::read_link(&entry) else {
                wrong.dangling.push(name.to_owned());
                continue;
            };
            let Ok(bytes) = fs::read(&store_path) else {
                wrong.dangling.push(name.to_owned());
                continue;
            };
            let is: [u8; 32] = Sha256::digest(&bytes).into();
            if is != sha256 {
                wrong.hashes.push(name.to_owned());
            }
            entries.push((name.to_owned(), entry));
        }
        if let Some(nix) = &self.nix {
            let gone = nix.not_kept(&entries);
            wrong.dangling.extend(gone.into_iter().map(str::to_owned));
        }
        named
    }

    /// What lives of builds whether or not the engine knows it: whoever has the checkout mounted, as the
    /// inside of a container does, and whoever names one of its containers. The watcher of a run that was killed
    /// is none of them: for some seconds it asks for its containers, so that none comes back.
    fn processes(&self) -> Vec<String> {
        let checkout = self.project.path();
        let inside = Command::new("sudo")
            .args([
                "-n",
                "sh",
                "-c",
                "grep -lF \"$1\" /proc/[0-9]*/mountinfo",
                "sh",
            ])
            .arg(&checkout)
            .output()
            .unwrap();
        let mut found: Vec<String> = String::from_utf8_lossy(&inside.stdout)
            .lines()
            .map(str::to_owned)
            .collect();
        let runs = fs::read_dir(checkout.join(".isar-build-all/runs"));
        let names: Vec<String> = runs
            .into_iter()
            .flatten()
            .flatten()
            .map(|run| format!("isar-build-all-{}-", run.file_name().to_string_lossy()))
            .collect();
        for pid in pids() {
            let line = command_line(pid);
            let mut ancestors = successors(parent_of(pid), |&one| parent_of(one));
            if names.iter().any(|name| line.contains(name))
                && !ancestors.any(is_watcher)
                && lives(pid)
            {
                found.push(format!("/proc/{pid}: {line}"));
            }
        }
        found
    }
}

/// The root file systems of containers that are mounted.
fn container_roots() -> BTreeSet<String> {
    let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounted.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .filter(|point| point.contains("/containers/storage/overlay") && point.ends_with("/merged"))
        .map(str::to_owned)
        .collect()
}

/// Every file that we may see, what BitBake has in its build directories excepted.
fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_bitbakes = path.ends_with("build") && path.with_file_name("work").exists();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !is_bitbakes => collect(&path, found),
            Ok(kind) if !kind.is_dir() => found.push(path),
            _ => {}
        }
    }
}

/// Every other kill with a Nix store.
fn storm(seed: u64, kills: u64, nix_first: bool) {
    println!("seed {seed}, {kills} kills");
    let mut random = Random::of(seed);
    let mut worlds: [Option<World>; 2] = [None, None];
    for kill in 0..kills {
        let with_nix = (kill % 2 == 0) == nix_first;
        let world = worlds[usize::from(with_nix)]
            .get_or_insert_with(|| World::new(with_nix.then(PrivateNix::new)));
        let mut late = 0;
        while !world.kill_once(
            &mut random,
            &format!("seed {seed}, kill {kill}, Nix: {with_nix}"),
        ) {
            late += 1;
            assert!(late < 10, "the tool ends too early to be killed");
        }
    }
    println!("seed {seed}: {kills} kills, all in order");
}

fn kills() -> u64 {
    crate::number("ISAR_FAULTS_KILLS_REAL").unwrap_or(2)
}

#[test]
fn a_kill_at_any_instant_of_a_real_build_leaves_nothing() {
    storm(20_260_603, kills().div_ceil(2), false);
}

#[test]
fn and_at_instants_that_nobody_has_tried() {
    storm(
        fresh_seed(crate::number("ISAR_FAULTS_SEED")),
        kills() / 2,
        true,
    );
}

/// What the checks look at is there while a build runs.
#[test]
fn the_checks_see_a_build_that_runs() {
    let project = Project::new();
    let world = World {
        project,
        nix: None,
        whole: Duration::ZERO,
        registered: 0,
        roots: container_roots(),
    };
    let mut tool = world.start();
    crate::project::wait_until(Duration::from_secs(60), "a container", || {
        !world.project.containers().is_empty()
    });
    crate::project::wait_until(Duration::from_secs(60), "all of it", || {
        let wrong = world.check();
        let conmon = wrong
            .containers
            .iter()
            .any(|found| found.contains("conmon"));
        let inside = wrong
            .containers
            .iter()
            .any(|found| found.ends_with("/mountinfo"));
        conmon
            && inside
            && !wrong.mounts.is_empty()
            && !wrong.locks.is_empty()
            && !wrong.parts.is_empty()
    });
    output(Command::new("kill").args(["-TERM", &tool.id().to_string()]));
    assert_eq!(tool.wait().unwrap().code(), Some(143));
    assert_eq!(world.check(), Wrong::default());
}
