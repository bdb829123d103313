//! Hosts made of small scripts in a directory that is the whole of PATH.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::base::arch::Arch;
use crate::host::identity::Host;
use crate::settings::{CommandLine, Environment, IsarMode, LayerInput, Settings};
use crate::tools::{Engine, Runner, ToolError, Toolchain};

/// A directory that is the whole of PATH.
pub(crate) struct Bin {
    dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

pub(crate) const DOCKER: &str = r#"case "$*" in
-v) echo "Docker version 28.2.2, build e6534b4" ;;
info*) echo 28.2.2 ;;
"context show") echo default ;;
*) exit 64 ;;
esac"#;

pub(crate) const DOCKER_STOPPED: &str = r#"case "$*" in
-v) echo "Docker version 28.2.2, build e6534b4" ;;
*) echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?" >&2; exit 1 ;;
esac"#;

pub(crate) const PODMAN: &str = r#"case "$*" in
--version) echo "podman version 4.3.1" ;;
info*) echo '{"host": {"ociRuntime": {"name": "runc"}, "cgroupVersion": "v1"}}' ;;
*) exit 64 ;;
esac"#;

pub(crate) const SUDO: &str = r#"while [ "${1#-}" != "$1" ]; do shift; done
[ "$1" = true ] && exit 0
exec "$@""#;

pub(crate) const SUDO_WITHOUT_PODMAN: &str = r#"while [ "${1#-}" != "$1" ]; do shift; done
[ "$1" = true ] && exit 0
echo "sudo: $1: command not found" >&2; exit 1"#;

pub(crate) const KAS_CONTAINER: &str = r#"echo "kas-container 5.5""#;

/// Prints its version and, for a query, that the path is not valid.
pub(crate) const NIX_STORE: &str = r#"case "$1" in
--version) echo "nix-store (Nix) 2.8.0" ;;
*) echo "error: path '$2' is not valid" >&2; exit 1 ;;
esac"#;

impl Bin {
    pub(crate) fn new(programs: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bin");
        std::fs::create_dir(&path).unwrap();
        // A store of its own, so that the host's Nix store is not found.
        let store = dir.path().join("store").display().to_string();
        let state = dir.path().join("state").display().to_string();
        let bin = Self {
            variables: vec![
                ("PATH".into(), path.display().to_string()),
                ("NIX_STORE_DIR".into(), store),
                ("NIX_STATE_DIR".into(), state),
            ],
            dir,
        };
        bin.add("catatonit", "exit 0");
        for (name, script) in programs {
            bin.add(name, script);
        }
        bin
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(crate) fn add(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        program(&path, script);
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub(crate) fn environment(&self) -> Environment {
        Environment::new(self.dir.path(), self.variables.iter().cloned())
    }

    pub(crate) fn settings(&self, change: impl FnOnce(&mut CommandLine)) -> Settings {
        let mut command_line = CommandLine::default();
        change(&mut command_line);
        Settings::resolve(&LayerInput {
            project_dir: self.dir.path().into(),
            working_dir: self.dir.path().into(),
            environment: self.environment(),
            command_line,
            ..LayerInput::default()
        })
        .unwrap()
    }

    pub(crate) fn probe_as(
        &self,
        host: Host,
        change: impl FnOnce(&mut CommandLine),
    ) -> Result<Toolchain, ToolError> {
        Toolchain::probe_on(host, &self.settings(change), &self.environment())
    }

    pub(crate) fn probe(
        &self,
        change: impl FnOnce(&mut CommandLine),
    ) -> Result<Toolchain, ToolError> {
        self.probe_as(host(), change)
    }

    pub(crate) fn engine(&self, change: impl FnOnce(&mut CommandLine)) -> Engine {
        match self.probe(change).unwrap().runner {
            Runner::Container { engine, .. } => *engine,
            Runner::Kas(_) => panic!("no engine"),
        }
    }

    /// The message and hint as the binary prints them, with this directory's name taken out.
    pub(crate) fn refusal(&self, change: impl FnOnce(&mut CommandLine)) -> String {
        self.neutral(&message(&self.probe(change).unwrap_err()))
    }

    pub(crate) fn neutral(&self, text: &str) -> String {
        text.replace(&self.dir.path().display().to_string(), "")
    }
}

pub(crate) fn host() -> Host {
    Host {
        uid: 1000,
        arch: Some(Arch::Amd64),
        kernel: "6.1.0-18-amd64".into(),
        wsl: None,
        nixos: false,
    }
}

pub(crate) fn message(error: &ToolError) -> String {
    assert_eq!(error.exit_code(), 4);
    let hint = error.hint().unwrap();
    let hints: Vec<String> = hint.lines().map(|line| format!("hint: {line}")).collect();
    format!("error: {error}\n{}", hints.join("\n"))
}

pub(crate) fn rootless(command_line: &mut CommandLine) {
    command_line.isar_mode = Some(IsarMode::Rootless);
}

pub(crate) fn nothing(_: &mut CommandLine) {}

/// Writes a program in sh.
///
/// Another process writes it: a file that is open for writing cannot be run, and a test that forks
/// meanwhile inherits the open file.
pub(crate) fn program(path: &Path, script: &str) {
    let write = "printf '#!/bin/sh\n%s\n' \"$1\" > \"$2\"";
    let made = std::process::Command::new("/bin/sh")
        .args(["-c", write, "sh", script])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
