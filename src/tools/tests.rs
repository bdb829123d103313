//! Every message about tools, on hosts made of small scripts.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::model::arch::Arch;
use crate::settings::{CommandLine, EngineChoice, IsarMode, LayerInput};

/// A directory that is the whole of PATH.
struct Bin {
    dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

const DOCKER: &str = r#"case "$*" in
-v) echo "Docker version 28.2.2, build e6534b4" ;;
info*) echo 28.2.2 ;;
"context show") echo default ;;
*) exit 64 ;;
esac"#;

const DOCKER_STOPPED: &str = r#"case "$*" in
-v) echo "Docker version 28.2.2, build e6534b4" ;;
*) echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?" >&2; exit 1 ;;
esac"#;

const PODMAN: &str = r#"case "$*" in
--version) echo "podman version 4.3.1" ;;
info*) echo '{"host": {"ociRuntime": {"name": "runc"}, "cgroupVersion": "v1"}}' ;;
*) exit 64 ;;
esac"#;

const SUDO: &str = r#"while [ "${1#-}" != "$1" ]; do shift; done
[ "$1" = true ] && exit 0
exec "$@""#;

const SUDO_WITHOUT_PODMAN: &str = r#"while [ "${1#-}" != "$1" ]; do shift; done
[ "$1" = true ] && exit 0
echo "sudo: $1: command not found" >&2; exit 1"#;

const KAS_CONTAINER: &str = r#"echo "kas-container 5.5""#;

/// Says its version and, to a question, that the path is not valid.
const NIX_STORE: &str = r#"case "$1" in
--version) echo "nix-store (Nix) 2.8.0" ;;
*) echo "error: path '$2' is not valid" >&2; exit 1 ;;
esac"#;

impl Bin {
    fn new(programs: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bin");
        std::fs::create_dir(&path).unwrap();
        // A store of its own: the real one is not to be found through this host.
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

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn add(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        // Written by another process: a script that this one has open for writing cannot be run, and
        // a sibling test that forks at that moment inherits the open file.
        let made = std::process::Command::new("/bin/sh")
            .args([
                "-c",
                "printf '#!/bin/sh\n%s\n' \"$1\" > \"$2\"",
                "sh",
                script,
            ])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn environment(&self) -> Environment {
        Environment::new(self.dir.path(), self.variables.iter().cloned())
    }

    fn settings(&self, change: impl FnOnce(&mut CommandLine)) -> Settings {
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

    fn probe_as(
        &self,
        host: Host,
        change: impl FnOnce(&mut CommandLine),
    ) -> Result<Toolchain, ToolError> {
        Toolchain::probe_on(host, &self.settings(change), &self.environment())
    }

    fn probe(&self, change: impl FnOnce(&mut CommandLine)) -> Result<Toolchain, ToolError> {
        self.probe_as(host(), change)
    }

    fn engine(&self, change: impl FnOnce(&mut CommandLine)) -> Engine {
        match self.probe(change).unwrap().runner {
            Runner::Container { engine, .. } => *engine,
            Runner::Kas(_) => panic!("no engine"),
        }
    }

    /// The message and hint as the binary prints them, with this directory's name taken out.
    fn refusal(&self, change: impl FnOnce(&mut CommandLine)) -> String {
        self.neutral(&message(&self.probe(change).unwrap_err()))
    }

    fn neutral(&self, text: &str) -> String {
        text.replace(&self.dir.path().display().to_string(), "")
    }
}

fn host() -> Host {
    Host {
        uid: 1000,
        arch: Some(Arch::Amd64),
        kernel: "6.1.0-18-amd64".into(),
        wsl: None,
        nixos: false,
    }
}

fn message(error: &ToolError) -> String {
    assert_eq!(error.exit_code(), 4);
    let hint = error.hint().unwrap();
    let hints: Vec<String> = hint.lines().map(|line| format!("hint: {line}")).collect();
    format!("error: {error}\n{}", hints.join("\n"))
}

fn rootless(command_line: &mut CommandLine) {
    command_line.isar_mode = Some(IsarMode::Rootless);
}

fn nothing(_: &mut CommandLine) {}

#[test]
fn docker_is_taken_first_and_podman_behind_sudo_second() {
    let all = [
        ("docker", DOCKER),
        ("podman", PODMAN),
        ("sudo", SUDO),
        ("kas-container", KAS_CONTAINER),
    ];
    let bin = Bin::new(&all);
    let docker = bin.engine(nothing);
    assert_eq!(docker.kind, EngineKind::Docker);
    assert_eq!(
        docker.prefix,
        [bin.path("bin/docker").display().to_string()]
    );
    assert_eq!(
        docker.environment,
        [("KAS_CONTAINER_ENGINE".into(), "docker".into())]
    );
    assert_eq!(docker.version.to_string(), "28.2.2");

    let bin = Bin::new(&all[1..]);
    let podman = bin.engine(nothing);
    assert_eq!(podman.kind, EngineKind::Podman);
    assert_eq!(podman.program, bin.path("bin/podman"));
    let sudo = bin.path("bin/sudo").display().to_string();
    assert_eq!(podman.prefix, [&*sudo, "-n", "--preserve-env", "podman"]);
    let path = format!("{}:/usr/sbin", bin.path("bin").display());
    assert_eq!(
        podman.environment,
        [
            ("KAS_CONTAINER_ENGINE".into(), "podman".into()),
            ("KAS_SUDO_CMD".into(), "sudo".into()),
            ("PATH".into(), path),
        ]
    );
    assert!(podman.passed_over.is_empty() && podman.notes.is_empty());
}

#[test]
fn rootless_takes_podman_first_and_needs_no_sudo() {
    let bin = Bin::new(&[
        ("docker", DOCKER),
        ("podman", PODMAN),
        ("kas-container", KAS_CONTAINER),
    ]);
    let engine = bin.engine(rootless);
    assert_eq!(engine.kind, EngineKind::Podman);
    assert_eq!(
        engine.prefix,
        [bin.path("bin/podman").display().to_string()]
    );
}

#[test]
fn a_docker_that_does_not_work_is_passed_over_and_said() {
    for (name, docker) in [
        ("stopped", DOCKER_STOPPED),
        ("nerdctl", "echo nerdctl version 2.2.1"),
    ] {
        let bin = Bin::new(&[
            ("docker", docker),
            ("podman", PODMAN),
            ("sudo", SUDO),
            ("kas-container", KAS_CONTAINER),
        ]);
        let toolchain = bin.probe(nothing).unwrap();
        let notes: Vec<String> = toolchain
            .notes()
            .iter()
            .map(|note| format!("warning: {}\nhint: {}", note.message, note.hint))
            .collect();
        insta::assert_snapshot!(
            format!("passed_over_{name}"),
            bin.neutral(&notes.join("\n"))
        );
    }
}

#[test]
fn podman_under_dockers_name_is_not_worth_a_word() {
    let bin = Bin::new(&[
        ("docker", "echo podman version 4.3.1"),
        ("podman", PODMAN),
        ("sudo", SUDO),
        ("kas-container", KAS_CONTAINER),
    ]);
    let toolchain = bin.probe(nothing).unwrap();
    assert_eq!(toolchain.notes(), []);
}

#[test]
fn every_refusal_has_its_message_and_hint() {
    let engines: &[(&str, &[(&str, &str)])] = &[
        ("no engine", &[]),
        ("nerdctl", &[("docker", "echo nerdctl version 2.2.1")]),
        ("podman-docker", &[("docker", "echo podman version 4.3.1")]),
        ("not docker", &[("docker", "echo hello")]),
        ("docker stopped", &[("docker", DOCKER_STOPPED)]),
        (
            "docker of long ago, stopped",
            &[(
                "docker",
                "case $1 in -v) echo Docker version 17.09.0-ce, build afdb6d4;; *) echo Cannot connect >&2;; esac",
            )],
        ),
        (
            "docker denied",
            &[(
                "docker",
                "case $1 in -v) echo Docker version 28.2.2;; *) echo 'permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock' >&2; exit 1;; esac",
            )],
        ),
        ("podman without sudo", &[("podman", PODMAN)]),
        (
            "podman, sudo asks",
            &[
                ("podman", PODMAN),
                ("sudo", "echo 'sudo: a password is required' >&2; exit 1"),
            ],
        ),
        (
            "podman, sudo drops the environment",
            &[
                ("podman", PODMAN),
                (
                    "sudo",
                    "echo 'sudo: sorry, you are not allowed to preserve the environment' >&2; exit 1",
                ),
            ],
        ),
        (
            "podman, run0 asks",
            &[
                ("podman", PODMAN),
                (
                    "run0",
                    "echo 'Failed to start transient service unit: Interactive authentication required.' >&2; exit 1",
                ),
            ],
        ),
        (
            "podman outside sudo's PATH",
            &[("podman", PODMAN), ("sudo", SUDO_WITHOUT_PODMAN)],
        ),
        (
            "podman broken as root",
            &[
                (
                    "podman",
                    "case $1 in --version) echo podman version 4.3.1;; *) echo 'Error: could not find a working conmon binary' >&2; exit 125;; esac",
                ),
                ("sudo", SUDO),
            ],
        ),
        (
            "podman cannot be started as root",
            &[
                ("podman", "echo 'Error: exec format error' >&2; exit 126"),
                ("sudo", SUDO),
            ],
        ),
        (
            "both refused",
            &[("docker", DOCKER_STOPPED), ("podman", PODMAN)],
        ),
    ];
    let mut said = String::new();
    for (name, programs) in engines {
        let bin = Bin::new(programs);
        bin.add("kas-container", KAS_CONTAINER);
        said += &format!("# {name}\n{}\n\n", bin.refusal(nothing));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn every_refusal_of_rootless_podman_has_its_message_and_hint() {
    let podman = |complaint: &str| {
        format!(
            "case $1 in --version) echo podman version 5.4.2;; *) echo 'time=x level=warning msg=hm' >&2; echo '{complaint}' >&2; exit 125;; esac"
        )
    };
    let mut said = String::new();
    for (name, script) in [
        (
            "machine",
            podman(
                "Error: unable to connect to Podman socket: Cannot connect to Podman. Please verify your connection to the Linux system using `podman system connection list`, or try `podman machine init` and `podman machine start`",
            ),
        ),
        (
            "newuidmap",
            podman(
                "Error: command required for rootless mode with multiple IDs: exec: \"newuidmap\": executable file not found in $PATH",
            ),
        ),
        (
            "something",
            podman("Error: creating runtime static files directory: permission denied"),
        ),
        ("no version", "echo hello".to_owned()),
    ] {
        let bin = Bin::new(&[
            ("podman", script.as_str()),
            ("kas-container", KAS_CONTAINER),
        ]);
        said += &format!("# {name}\n{}\n\n", bin.refusal(rootless));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn podman_of_a_nix_store_is_refused_behind_sudo_alone() {
    let bin = Bin::new(&[
        ("sudo", SUDO_WITHOUT_PODMAN),
        ("kas-container", KAS_CONTAINER),
    ]);
    let store = bin.path("store/0000-podman-5.4/bin");
    std::fs::create_dir_all(&store).unwrap();
    bin.add("podman", PODMAN);
    let in_store = store.join("podman");
    std::fs::rename(bin.path("bin/podman"), &in_store).unwrap();
    // As a profile has it: a link into the store.
    std::os::unix::fs::symlink(&in_store, bin.path("bin/podman")).unwrap();
    insta::assert_snapshot!(bin.refusal(nothing));
    assert_eq!(bin.engine(rootless).kind, EngineKind::Podman);

    // Where sudo finds one it may be another: said, not refused.
    bin.add("sudo", SUDO);
    let notes = bin.engine(nothing).notes;
    assert_eq!(notes.len(), 1);
    insta::assert_snapshot!(
        "nix_store_note",
        bin.neutral(&format!("{}\n{}", notes[0].message, notes[0].hint))
    );

    // On NixOS, sudo keeps the store's programs in PATH.
    let nixos = Host {
        nixos: true,
        ..host()
    };
    let Runner::Container { engine, .. } = bin.probe_as(nixos, nothing).unwrap().runner else {
        panic!("no engine")
    };
    assert!(engine.notes.is_empty());
}

#[test]
fn crun_with_the_first_cgroups_is_warned_of() {
    let bin = Bin::new(&[
        ("podman", &PODMAN.replace("runc", "crun")),
        ("sudo", SUDO),
        ("kas-container", KAS_CONTAINER),
    ]);
    let notes = bin.engine(nothing).notes;
    insta::assert_snapshot!(format!("{}\n{}", notes[0].message, notes[0].hint));
    let second = PODMAN.replace("runc", "crun").replace("v1", "v2");
    bin.add("podman", &second);
    assert!(bin.engine(nothing).notes.is_empty());
}

#[test]
fn an_engine_that_is_asked_for_is_taken_or_refused() {
    let bin = Bin::new(&[
        ("docker", DOCKER),
        ("podman", PODMAN),
        ("sudo", SUDO),
        ("kas-container", KAS_CONTAINER),
    ]);
    let ask_for = |engine| move |line: &mut CommandLine| line.engine = Some(engine);
    assert_eq!(
        bin.engine(ask_for(EngineChoice::Podman)).kind,
        EngineKind::Podman
    );
    let none = Bin::new(&[("kas-container", KAS_CONTAINER)]);
    insta::assert_snapshot!(format!(
        "{}\n\n{}",
        none.refusal(ask_for(EngineChoice::Docker)),
        none.refusal(ask_for(EngineChoice::Podman))
    ));
    // No falling through to the other one.
    bin.add("docker", DOCKER_STOPPED);
    assert!(matches!(
        bin.probe(ask_for(EngineChoice::Docker)),
        Err(ToolError::EngineRefused(refusals)) if refusals.len() == 1
    ));
}

#[test]
fn docker_desktop_is_named_in_wsl() {
    let bin = Bin::new(&[("docker", DOCKER_STOPPED), ("kas-container", KAS_CONTAINER)]);
    let wsl = Host {
        wsl: Some("Debian".into()),
        ..host()
    };
    insta::assert_snapshot!(message(&bin.probe_as(wsl, nothing).unwrap_err()));
}

#[test]
fn a_rootless_docker_context_is_left_for_the_systems_daemon() {
    let docker = r#"case "$*" in
-v) echo "Docker version 28.2.2, build e6534b4" ;;
info*) echo 28.2.2 ;;
"context show") echo rootless ;;
"context inspect default"*) echo unix:///var/run/docker.sock ;;
*) exit 64 ;;
esac"#;
    let bin = Bin::new(&[
        ("docker", docker),
        ("sudo", SUDO),
        ("kas-container", KAS_CONTAINER),
    ]);
    let sudo = bin.path("bin/sudo").display().to_string();
    assert_eq!(
        bin.engine(nothing).prefix,
        [
            &*sudo,
            "-n",
            "--preserve-env",
            "docker",
            "--host",
            "unix:///var/run/docker.sock"
        ]
    );
    assert_eq!(bin.engine(rootless).prefix.len(), 1);
}

#[test]
fn kas_sudo_cmd_is_obeyed() {
    let programs = [
        ("podman", PODMAN),
        ("sudo", SUDO),
        ("run0", SUDO),
        ("kas-container", KAS_CONTAINER),
    ];
    let bin = Bin::new(&programs).with("KAS_SUDO_CMD", "run0");
    let run0 = bin.path("bin/run0").display().to_string();
    assert_eq!(
        bin.engine(nothing).prefix,
        [&*run0, "--background=", "--no-ask-password", "podman"]
    );
    let bin = Bin::new(&programs).with("KAS_SUDO_CMD", "doas");
    insta::assert_snapshot!(bin.refusal(nothing));
}

#[test]
fn a_program_that_hangs_is_said_and_not_waited_for() {
    let bin = Bin::new(&[
        (
            "docker",
            "case $1 in -v) echo Docker version 28.2.2;; *) /bin/sleep 60;; esac",
        ),
        ("podman", "/bin/sleep 60"),
    ]);
    let environment = bin.environment();
    let prober = Prober {
        environment: &environment,
        limit: std::time::Duration::from_secs(1),
    };
    let error = Engine::probe(&bin.settings(rootless), prober, &host()).unwrap_err();
    insta::assert_snapshot!(message(&error));
}

#[test]
fn the_mode_flag_is_that_of_the_version() {
    let bin = Bin::new(&[
        ("docker", DOCKER),
        ("kas-container", "echo kas-container 5.1"),
    ]);
    let Runner::Container { kas_container, .. } = bin.probe(nothing).unwrap().runner else {
        panic!("no kas-container")
    };
    assert_eq!(kas_container.mode_flag, "--isar");
    assert!(!kas_container.appends_runtime_args());
    insta::assert_snapshot!(bin.refusal(rootless));
}

#[test]
fn kas_container_that_cannot_be_used_is_said() {
    let mut said = String::new();
    let named = |path: &str| {
        let path = PathBuf::from(path);
        move |line: &mut CommandLine| line.kas_container = Some(path)
    };
    let bin = Bin::new(&[
        ("docker", DOCKER),
        ("old", "echo no; exit 1"),
        ("mute", "echo hello"),
    ]);
    said += &bin.refusal(nothing);
    said += "\n\n";
    said += &bin.refusal(named("tools/kas-container"));
    said += "\n\n";
    said += &bin.refusal(named("bin/old"));
    said += "\n\n";
    said += &bin.refusal(named("bin/mute"));
    insta::assert_snapshot!(said);
}

#[test]
fn inside_a_kas_image_neither_engine_nor_kas_container_is_asked_for() {
    let executor = |line: &mut CommandLine| line.executor = Some(Executor::Kas);
    let bin = Bin::new(&[(
        "kas",
        "echo 'kas 5.5 (configuration format version 23, earliest compatible version 1)'",
    )]);
    let Runner::Kas(kas) = bin.probe(executor).unwrap().runner else {
        panic!("no kas")
    };
    assert_eq!(
        (kas.program, kas.version),
        (bin.path("bin/kas"), Version::new(5, 5))
    );
    insta::assert_snapshot!(Bin::new(&[]).refusal(executor));
}

#[test]
fn root_is_refused_before_anything_is_asked() {
    let root = Host { uid: 0, ..host() };
    insta::assert_snapshot!(message(&Bin::new(&[]).probe_as(root, nothing).unwrap_err()));
}

#[test]
fn nix_is_taken_where_it_is_usable() {
    let bin = Bin::new(&[("nix-store", NIX_STORE)]);
    for dir in ["store", "state/db"] {
        std::fs::create_dir_all(bin.path(dir)).unwrap();
    }
    let Store::Nix(nix) = Store::probe(&bin.settings(nothing), &bin.environment()).unwrap() else {
        panic!("no Nix")
    };
    assert_eq!(nix.access, NixAccess::SingleUser);
    assert_eq!(nix.store_dir, bin.path("store"));
    assert_eq!(nix.version.to_string(), "2.8");
    let local = bin.settings(|line| line.store = Some(StoreChoice::Local));
    assert_eq!(
        Store::probe(&local, &bin.environment()),
        Ok(Store::Local { instead_of: None })
    );

    let bin = bin.with("NIX_REMOTE", "daemon");
    let Store::Nix(nix) = Store::probe(&bin.settings(nothing), &bin.environment()).unwrap() else {
        panic!("no Nix")
    };
    assert_eq!(nix.access, NixAccess::Daemon);
}

#[test]
fn without_a_usable_nix_the_local_store_is_taken_unless_nix_is_asked_for() {
    let unconnected = r#"case "$1" in
--version) echo "nix-store (Nix) 2.8.0" ;;
*) echo "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': No such file or directory" >&2; exit 1 ;;
esac"#;
    let mut said = String::new();
    for (name, programs) in [
        ("absent", &[][..]),
        ("read-only and no daemon", &[("nix-store", NIX_STORE)]),
        ("daemon stopped", &[("nix-store", unconnected)]),
        ("no version", &[("nix-store", "echo hello")]),
    ] {
        let bin = Bin::new(programs);
        let automatic = Store::probe(&bin.settings(nothing), &bin.environment()).unwrap();
        let Store::Local {
            instead_of: Some(why),
        } = automatic
        else {
            panic!("{automatic:?}")
        };
        let forced = bin.settings(|line| line.store = Some(StoreChoice::Nix));
        let error = Store::probe(&forced, &bin.environment()).unwrap_err();
        said += &bin.neutral(&format!("# {name}\n{why}\n{}\n\n", message(&error)));
    }
    insta::assert_snapshot!(said);
}
