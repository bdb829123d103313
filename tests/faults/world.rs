//! A project whose containers outlive the tool, and what must hold of it whatever happened.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use isar_build_all::model::hashes::parse;
use isar_build_all::model::nix32;
use sha2::{Digest as _, Sha256};

use crate::common::{lives, root};
use crate::project::{Project, Said};

pub(crate) struct World {
    pub(crate) project: Project,
}

/// What must be zero.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) wrong_hashes: Vec<String>,
    pub(crate) dangling: Vec<String>,
    pub(crate) left: Vec<String>,
}

impl World {
    pub(crate) fn new() -> World {
        World {
            project: Project::new(),
        }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.project.path().join(path)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.project.command(args);
        let tests = root().join("tests");
        // Nothing is skipped: every run is to be one that can be killed.
        command.env("ISAR_BUILD_ALL_MAX_AGE", "0").env(
            "PATH",
            format!(
                "{}:{}:/usr/bin:/bin",
                tests.join("faults/fakes").display(),
                tests.join("fakes").display()
            ),
        );
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.project.said(&mut self.command(args))
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Checks every hash against the bytes behind its output entry, and that nothing is left of anyone.
    pub(crate) fn check(&self) -> Wrong {
        let mut wrong = Wrong::default();
        let text = fs::read_to_string(self.path("artifact-hashes.nix")).unwrap_or_default();
        let file = if text.is_empty() {
            None
        } else {
            Some(parse(&text).unwrap())
        };
        let mut named = BTreeSet::new();
        for (name, sha256) in file.iter().flat_map(|file| file.entries()) {
            named.insert(name.to_owned());
            let entry = self.entry(name);
            let Ok(bytes) = fs::read(&entry) else {
                wrong.dangling.push(name.to_owned());
                continue;
            };
            let is: [u8; 32] = Sha256::digest(&bytes).into();
            let store_path = fs::read_link(&entry).unwrap();
            let in_store = fs::read(&store_path).unwrap();
            if is != sha256 || in_store != bytes {
                wrong.wrong_hashes.push(format!(
                    "{name}: {} for {} at {}",
                    nix32::encode(&sha256),
                    nix32::encode(&is),
                    store_path.display()
                ));
            }
        }
        for path in files(self.project.path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_entry = path.parent().unwrap().parent() == Some(&self.path("artifacts"));
            let is_left = name.ends_with(".part")
                || (name.ends_with(".lock") && !is_free_cache_lock(&path))
                || name == "journal.jsonl"
                || path.iter().any(|part| part == ".captured")
                || path.starts_with(self.path("fake/containers"))
                || (is_entry && !named.contains(&name));
            if is_left {
                wrong.left.push(path.display().to_string());
            }
        }
        wrong
    }

    fn entry(&self, name: &str) -> PathBuf {
        let machine = ["qemuamd64", "qemuarm64"]
            .into_iter()
            .find(|machine| name.contains(machine))
            .unwrap();
        self.path("artifacts").join(machine).join(name)
    }
}

/// The lock file of a cache stays in it, and is left only where somebody has the lock.
fn is_free_cache_lock(path: &Path) -> bool {
    path.ends_with(".isar-build-all.lock")
        && fs::File::open(path)
            .is_ok_and(|file| isar_build_all::files::try_lock(&file).unwrap_or(false))
}

/// Everything below a directory that is no directory, git's and the builds' own excepted.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.ends_with(".git") || path.ends_with(".isar-build-all/build") {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The tool's own child that would clear up after it.
pub(crate) fn watcher_of(tool: u32) -> Option<i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| {
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let stat = String::from_utf8_lossy(&read("stat")).into_owned();
            let parent = stat
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
            parent == Some(tool)
                && String::from_utf8_lossy(&read("cmdline")).contains("internal-watcher")
                && lives(*pid)
        })
}

pub(crate) fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
