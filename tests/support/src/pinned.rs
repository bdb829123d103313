//! A project in which everything but the image is pinned, so that an unchanged variant is skipped.

use std::fs;

use serde_json::Value;

use crate::project::{Project, Said, outcome};

pub const VARIANTS: [&str; 4] = [
    "qemuamd64/base",
    "qemuarm64/base",
    "qemuamd64/server-server-1",
    "qemuamd64/server-server-2",
];
pub const ALL: &[&str] = &VARIANTS;
pub const NONE: &[&str] = &[];

/// A repository of its own with two layers, a patch, a lock file; everything pinned but the image.
pub const BASE: &str = r#"header:
  version: 14
repos:
  project:
    layers:
      meta-one:
  isar:
    url: https://example.org/isar
    branch: next
    patches:
      fix:
        repo: project
        path: patches/fix.patch
local_conf_header:
  apt: |
    ISAR_USE_APT_SNAPSHOT = "1"
    ISAR_APT_SNAPSHOT_DATE = "20240702T082400Z"
"#;

pub const LOCK: &str = "header:\n  version: 14\noverrides:\n  repos:\n    isar:\n      commit: \
                    b90b722fc2666b806a64f0bf5ca0feeb9b6f203b\n";

pub struct World {
    pub project: Project,
}

impl World {
    pub fn new() -> World {
        let project = Project::new();
        project.write("kas/base.yml", BASE);
        project.write("kas/base.lock.yml", LOCK);
        project.write(
            "kas/qemuarm64.yml",
            "header:\n  version: 14\nrepos:\n  project:\n    layers:\n      meta-arm:\n",
        );
        project.write(
            "kas/server-1.yml",
            "header:\n  version: 14\n  includes:\n    - kas/included.yml\n",
        );
        project.write("kas/included.yml", "header:\n  version: 14\n");
        project.write("meta-one/conf/layer.conf", "a\n");
        project.write("meta-one/recipes/files/blob.bin", "b\n");
        project.write("meta-arm/conf/layer.conf", "a\n");
        project.write("patches/fix.patch", "--- a\n+++ b\n");
        project.write("keys/one.pem", "key\n");
        project.write("fake/image", "sha256:1111\n");
        let matrix = project.read("variants.toml");
        let settings = "\n[settings]\ninputs = [\"keys\"]\nimage = \"kas-isar:5.5\"\n";
        project.write("variants.toml", &format!("{matrix}{settings}"));
        World { project }
    }

    /// Everything is built once.
    pub fn built() -> World {
        let world = World::new();
        world.expect(&[], ALL);
        world
    }

    pub fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, &[])
    }

    pub fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Said {
        let args = [args, &["--events", "events.jsonl", "-j", "4", "-k"]].concat();
        let mut command = self.project.command(&args);
        command.envs(variables.iter().copied());
        // A proof that nothing is asked where nothing is to be done.
        let _ = fs::remove_file(self.project.path().join("fake/image.asked"));
        self.project.said(&mut command)
    }

    /// Runs, and expects that these variants are built and all others are skipped.
    pub fn expect(&self, args: &[&str], built: &[&str]) -> Said {
        self.expect_with(args, &[], built)
    }

    pub fn expect_with(&self, args: &[&str], variables: &[(&str, &str)], built: &[&str]) -> Said {
        let said = self.run_with(args, variables);
        assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
        let events = self.events();
        for variant in VARIANTS {
            let expected = if built.contains(&variant) {
                "succeeded"
            } else {
                "skipped"
            };
            for step in ["build", "capture", "register"] {
                let node = format!("{step}:{variant}");
                assert_eq!(outcome(&events, &node), expected, "{node}");
            }
        }
        said
    }

    pub fn events(&self) -> Vec<Value> {
        self.project.events("events.jsonl")
    }

    /// Changes one thing, and expects that these variants are built once, and none after that.
    pub fn changes(&self, change: impl FnOnce(&Project), built: &[&str]) {
        change(&self.project);
        self.expect(&[], built);
        self.expect(&[], NONE);
    }

    /// The same for a variable of the environment.
    pub fn changes_with(&self, variable: (&str, &str), built: &[&str]) {
        self.expect_with(&[], &[variable], built);
        self.expect_with(&[], &[variable], NONE);
        self.expect(&[], built);
    }
}
