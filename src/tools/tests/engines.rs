//! Probing Docker, podman and sudo in every state.

use crate::host::identity::Host;
use crate::settings::{CommandLine, EngineChoice};
use crate::tools::probe::Prober;
use crate::tools::tests::made::*;
use crate::tools::{Engine, EngineKind, Runner, ToolError};

#[test]
fn auto_prefers_docker_to_podman_behind_sudo() {
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
fn rootless_mode_prefers_podman_and_needs_no_sudo() {
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
fn a_broken_docker_is_passed_over_with_a_note() {
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
fn docker_that_is_podman_is_passed_over_without_a_note() {
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
fn podman_from_the_nix_store_is_refused_only_behind_sudo() {
    let bin = Bin::new(&[
        ("sudo", SUDO_WITHOUT_PODMAN),
        ("kas-container", KAS_CONTAINER),
    ]);
    let store = bin.path("store/0000-podman-5.4/bin");
    std::fs::create_dir_all(&store).unwrap();
    bin.add("podman", PODMAN);
    let in_store = store.join("podman");
    std::fs::rename(bin.path("bin/podman"), &in_store).unwrap();
    // A Nix profile has links into the store.
    std::os::unix::fs::symlink(&in_store, bin.path("bin/podman")).unwrap();
    insta::assert_snapshot!(bin.refusal(nothing));
    assert_eq!(bin.engine(rootless).kind, EngineKind::Podman);

    // A podman that sudo finds may be another one: a note, and no refusal.
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
fn crun_with_cgroups_v1_gets_a_note() {
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
fn a_configured_engine_is_used_or_refused() {
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
    // A configured engine has no fallback.
    bin.add("docker", DOCKER_STOPPED);
    assert!(matches!(
        bin.probe(ask_for(EngineChoice::Docker)),
        Err(ToolError::EngineRefused(refusals)) if refusals.len() == 1
    ));
}

#[test]
fn on_wsl_the_hint_names_docker_desktop() {
    let bin = Bin::new(&[("docker", DOCKER_STOPPED), ("kas-container", KAS_CONTAINER)]);
    let wsl = Host {
        wsl: Some("Debian".into()),
        ..host()
    };
    insta::assert_snapshot!(message(&bin.probe_as(wsl, nothing).unwrap_err()));
}

#[test]
fn privileged_mode_uses_the_system_daemon_from_a_rootless_context() {
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
fn kas_sudo_cmd_chooses_the_elevation() {
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
fn an_engine_that_hangs_is_refused_after_the_limit() {
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
