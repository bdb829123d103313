//! A project whose containers outlive the tool, and what must hold of it whatever happened.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use isar_build_all::base::arch::Arch;
use isar_build_all::base::nix32;
use isar_build_all::hashes_file::parse;
use isar_build_all::inspect::{Rules, inspect_bmap};
use sha2::{Digest as _, Sha256};

use support::PrivateNix;
use support::counts::count;
use support::project::{Project, Said};
pub(crate) use support::{kill, watcher_of};
use support::{lives, pids, root};

pub(crate) struct World {
    pub(crate) project: Project,
    nix: Option<PrivateNix>,
}

/// What must be zero.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) wrong_hashes: Vec<String>,
    pub(crate) dangling: Vec<String>,
    pub(crate) containers: Vec<String>,
    pub(crate) mounts: Vec<String>,
    pub(crate) locks: Vec<String>,
    pub(crate) parts: Vec<String>,
    /// Anything else that lies about.
    pub(crate) others: Vec<String>,
}

impl Wrong {
    /// Says for `scripts/faults` what was found.
    pub(crate) fn count(&self) {
        count(&[
            ("wrong_hashes", self.wrong_hashes.len()),
            ("dangling_entries", self.dangling.len()),
            ("left_containers", self.containers.len()),
            ("left_mounts", self.mounts.len()),
            ("left_locks", self.locks.len()),
            ("left_parts", self.parts.len() + self.others.len()),
        ]);
    }
}

impl World {
    /// With a local store.
    pub(crate) fn new() -> World {
        World {
            project: Project::new(),
            nix: None,
        }
    }

    /// Has something made of every image.
    pub(crate) fn packed(self) -> World {
        let matrix = self.project.read("variants.toml");
        let from = "wic = { ";
        assert!(matrix.contains(from));
        let to = "wic = { compress = \"zst\", bmap = true, ";
        self.project
            .write("variants.toml", &matrix.replacen(from, to, 1));
        self
    }

    /// With a Nix store of its own.
    pub(crate) fn with_nix() -> World {
        World {
            project: Project::new(),
            nix: Some(PrivateNix::new()),
        }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.project.path().join(path)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.project.command(args);
        let tests = root().join("tests");
        // Nothing is skipped: every run is to be one that can be killed.
        command.env("ISAR_BUILD_ALL_MAX_AGE", "0");
        let mut path = format!(
            "{}:{}:/usr/bin:/bin",
            tests.join("support/fakes/outliving").display(),
            tests.join("support/fakes").display()
        );
        if let Some(nix) = &self.nix {
            let program = which::which("nix-store").unwrap();
            path += &format!(":{}", program.parent().unwrap().display());
            command.env("ISAR_BUILD_ALL_STORE", "nix");
            command.envs(nix.env().into_iter().filter(|(name, _)| name != "HOME"));
        }
        command.env("PATH", path);
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

    /// Has Nix take what nothing roots.
    pub(crate) fn collect_garbage(&self) {
        self.nix.as_ref().unwrap().output("nix-store", ["--gc"]);
    }

    /// Checks every hash against the bytes behind its output entry, and that nothing is left of anyone.
    pub(crate) fn check(&self) -> Wrong {
        let mut wrong = Wrong::default();
        let named = self.check_hashes(&mut wrong);
        for path in files(self.project.path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_entry = path.parent().unwrap().parent() == Some(&self.path("artifacts"));
            let shown = path.display().to_string();
            if name.ends_with(".part") {
                wrong.parts.push(shown);
            } else if name.ends_with(".lock") && !is_free_cache_lock(&path) {
                wrong.locks.push(shown);
            } else if path.starts_with(self.path("fake/containers")) {
                wrong.containers.push(shown);
            } else if is_entry && self.is_product(&path, &named) {
                if !self.is_right(&path) {
                    wrong.wrong_hashes.push(shown);
                }
            } else if name == "journal.jsonl"
                || path.iter().any(|part| part == ".captured")
                || (is_entry && !named.contains(&name))
            {
                wrong.others.push(shown);
            }
        }
        wrong.containers.extend(self.container_processes());
        let here = self.project.path().to_str().unwrap();
        let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = mounted.lines().filter(|line| line.contains(here));
        wrong.mounts.extend(ours.map(str::to_owned));
        wrong
    }

    fn is_product(&self, path: &Path, named: &BTreeSet<String>) -> bool {
        let of = path.file_stem().unwrap().to_str().unwrap();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let is_made = matches!(ending, Some("zst" | "bmap")) && !path.is_symlink();
        is_made && named.contains(of)
    }

    /// Whether a product is of the image beside it.
    fn is_right(&self, path: &Path) -> bool {
        let image = path.with_extension("");
        if path.extension().is_some_and(|ending| ending == "zst") {
            let file = fs::File::open(path).unwrap();
            return zstd::decode_all(file).is_ok_and(|bytes| bytes == fs::read(image).unwrap());
        }
        let rules = Rules {
            arch: Arch::Arm64,
            foreign: globset::GlobSet::empty(),
            stop: Arc::new(|| false),
        };
        let report = inspect_bmap(path, &image, &rules).unwrap();
        report.findings.is_empty()
    }

    /// Returns the names in the hashes file.
    fn check_hashes(&self, wrong: &mut Wrong) -> BTreeSet<String> {
        let text = fs::read_to_string(self.path("artifact-hashes.nix")).unwrap_or_default();
        let mut named = BTreeSet::new();
        if text.is_empty() {
            return named;
        }
        let mut entries = Vec::new();
        for (name, sha256) in parse(&text).unwrap().entries() {
            named.insert(name.to_owned());
            let entry = self.entry(name);
            let (Ok(bytes), Ok(store_path)) = (fs::read(&entry), fs::read_link(&entry)) else {
                wrong.dangling.push(name.to_owned());
                continue;
            };
            let is: [u8; 32] = Sha256::digest(&bytes).into();
            let in_store = fs::read(&store_path).unwrap();
            if is != sha256 || in_store != bytes {
                wrong.wrong_hashes.push(format!(
                    "{name}: {} for {} at {}",
                    nix32::encode(&sha256),
                    nix32::encode(&is),
                    store_path.display()
                ));
            }
            entries.push((name.to_owned(), entry));
        }
        if let Some(nix) = &self.nix {
            let gone = nix.not_kept(&entries);
            wrong.dangling.extend(gone.into_iter().map(str::to_owned));
        }
        named
    }

    /// Whether Nix itself says of every registered file that its output entry keeps it.
    pub(crate) fn nix_keeps_all(&self) -> bool {
        let entries: Vec<(String, PathBuf)> = self
            .project
            .hashed()
            .into_iter()
            .map(|name| (name.clone(), self.entry(&name)))
            .collect();
        self.nix
            .as_ref()
            .is_none_or(|nix| !entries.is_empty() && nix.are_roots(&entries))
    }

    /// What runs of the containers of this project, whether or not the engine knows it.
    fn container_processes(&self) -> Vec<String> {
        let here = self.project.path().to_str().unwrap();
        let mut found = Vec::new();
        for pid in pids() {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains("fakes/outliving/container ") && line.contains(here) && lives(pid) {
                found.push(format!("process {pid}: {line}"));
            }
        }
        found
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
            .is_ok_and(|file| isar_build_all::fs::try_lock(&file).unwrap_or(false))
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
