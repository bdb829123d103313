//! A project of two machines and three variants in a directory of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{root, tool};

const MATRIX: &str = r#"schema = 1

[axes]
role = ["base", "server"]
node = ["server-1", "server-2"]

[naming]
id = "{role}[-{node}]"
unique_name = "isar-{id}-{machine}{extension}"
deploy_name = "image-{machine}{extension}"
attr_path = ["{machine}", "{role}", "{node}"]

[artifacts]
wic = { extension = ".wic", format = "any" }
bmap = { extension = ".wic.bmap", optional = true, format = "any" }

[machines.qemuamd64]
arch = "amd64"
kas = "kas/qemuamd64.yml"
artifacts = ["wic", "bmap"]

[machines.qemuarm64]
arch = "arm64"
kas = "kas/qemuarm64.yml"
artifacts = ["wic"]

[kas]
chain = ["kas/base.yml", "{machine.kas}", { file = "kas/{node}.yml", when = { node = "*" } }]

[[variants]]
machine = ["qemuamd64", "qemuarm64"]
role = "base"

[[variants]]
machine = "qemuamd64"
role = "server"
node = ["server-1", "server-2"]
"#;

pub struct Project {
    directory: TempDir,
}

/// What a run said and how it ended.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Project {
    pub fn new() -> Project {
        let project = Project {
            directory: tempfile::tempdir().unwrap(),
        };
        project.write("variants.toml", MATRIX);
        for name in [
            "base",
            "qemuamd64",
            "qemuarm64",
            "server-1",
            "server-2",
            "extra",
        ] {
            project.write(&format!("kas/{name}.yml"), "header:\n  version: 14\n");
        }
        project.write(
            "fake/deploy/qemuamd64",
            "image-qemuamd64.wic\nimage-qemuamd64.wic.bmap\n",
        );
        project.write("fake/deploy/qemuarm64", "image-qemuarm64.wic\n");
        assert!(
            Command::new("git")
                .args(["init", "-q"])
                .arg(project.path())
                .status()
                .unwrap()
                .success()
        );
        project
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// Makes the fake do something else for a variant (`machine.id`) than deploy.
    pub fn instead(&self, variant: &str, script: &str) {
        self.write(&format!("fake/{variant}.sh"), script);
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(tool());
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env(
                "PATH",
                format!(
                    "{}:/usr/bin:/bin",
                    root().join("tests/support/fakes").display()
                ),
            )
            .env("HOME", self.path().join("home"))
            .env("FAKE_DIR", self.path().join("fake"))
            .env("KAS_CONTAINER_ENGINE", "podman")
            .env("ISAR_BUILD_ALL_STORE", "local")
            // Whatever the machine, one after the other, unless a test says otherwise.
            .env("ISAR_BUILD_ALL_JOBS", "1")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        self.said(&mut self.command(args))
    }

    /// Runs a command; in what it says, the project's directory is `[project]`.
    pub fn said(&self, command: &mut Command) -> Said {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .unwrap()
                .replace(self.path().to_str().unwrap(), "[project]")
        };
        Said {
            code: status.code(),
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    /// The names in the hashes file, in order.
    pub fn hashed(&self) -> Vec<String> {
        fs::read_to_string(self.path().join("artifact-hashes.nix"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.split('"').nth(1).map(str::to_owned))
            .collect()
    }

    pub fn events(&self, file: &str) -> Vec<Value> {
        self.read(file)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// The outcome of a node in a run's events.
pub fn outcome(events: &[Value], node: &str) -> String {
    events
        .iter()
        .find(|event| event["kind"] == "node_finished" && event["node"] == node)
        .unwrap_or_else(|| panic!("{node} did not end"))["outcome"]
        .as_str()
        .unwrap()
        .to_owned()
}
