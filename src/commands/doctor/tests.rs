//! `doctor` on hosts that are made of small scripts.

use std::path::Path;

use crate::commands::doctor::directories::{GIB, room_check};
use crate::commands::doctor::*;
use crate::settings::{Environment, LayerFile, LayerInput, Terminal};
use crate::store::BACKENDS;
use crate::store::choice::words;
use crate::tools::tests::made::{SUDO, host, program};

struct MadeHost {
    dir: tempfile::TempDir,
}

impl MadeHost {
    fn new(programs: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for (name, script) in programs {
            program(&bin.join(name), script);
        }
        Self { dir }
    }

    fn report(&self, host: &Host, project: &str, variables: &[(&str, &str)]) -> DoctorReport {
        let dir = self.dir.path();
        let bin = dir.join("bin").display().to_string();
        let store = dir.join("store").display().to_string();
        let usual = [
            ("PATH", &*bin),
            ("NIX_STORE_DIR", &store),
            ("NIX_STATE_DIR", &store),
        ];
        let environment = Environment::new(dir, usual.iter().chain(variables).copied());
        let surroundings = Surroundings::of(&environment, Terminal::default());
        let input = LayerInput {
            project_dir: dir.into(),
            working_dir: dir.into(),
            project: Some(LayerFile {
                path: dir.join("variants.toml"),
                text: project.to_owned(),
            }),
            environment,
            stores: words(BACKENDS),
            ..LayerInput::default()
        };
        let resolution = Settings::resolve_leniently(&input);
        doctor_on(
            host,
            &resolution,
            &input.environment,
            (&surroundings, BACKENDS),
        )
    }

    /// As text, with what differs from machine to machine taken out.
    fn text(&self, report: &DoctorReport) -> String {
        let mut report = report.clone();
        report.checks.retain(|check| check.name != "disk");
        let text = report.render(false);
        text.replace(&self.dir.path().display().to_string(), "")
    }
}

const PODMAN: &str = r#"case "$*" in
--version) echo "podman version 4.3.1" ;;
*) echo '{"host": {"ociRuntime": {"name": "crun"}, "cgroupVersion": "v1"}}' ;;
esac"#;

#[test]
fn doctor_passes_a_host_with_warnings() {
    let made = MadeHost::new(&[
        (
            "docker",
            "case $1 in -v) echo Docker version 28.2.2;; *) echo Cannot connect >&2; exit 1;; esac",
        ),
        ("podman", PODMAN),
        ("sudo", SUDO),
        ("catatonit", "exit 0"),
        ("git", "echo git version 2.39.5"),
        ("sgdisk", "echo 'GPT fdisk (sgdisk) version 1.0.9'"),
        ("kas-container", "echo kas-container 5.5"),
        (
            "nix-store",
            "case $1 in --version) echo 'nix-store (Nix) 2.8.0';; *) echo 'is not valid' >&2; exit 1;; esac",
        ),
    ]);
    std::fs::create_dir_all(made.dir.path().join("store/db")).unwrap();
    let variables = [("KAS_PREMIRRORS", "a b"), ("GITHUB_ACTIONS", "true")];
    let report = made.report(&host(), "", &variables);
    insta::assert_snapshot!(made.text(&report));
    assert_eq!(report.exit_code(), 0);
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["checks"][0]["name"], "host");
    assert_eq!(json["checks"][0]["verdict"], "ok");
    assert!(report.render(true).contains("\x1b[33mwarn\x1b[0m"));
}

#[test]
fn doctor_reports_root_and_missing_tools_and_broken_toml() {
    let made = MadeHost::new(&[("git", "echo git version 2.39.5"), ("sgdisk", "exit 1")]);
    let root = Host {
        uid: 0,
        wsl: Some("Debian".into()),
        ..host()
    };
    let report = made.report(&root, "[settings\nstore = 'nix'\n", &[]);
    insta::assert_snapshot!(made.text(&report));
    assert_eq!(report.exit_code(), 4);
}

#[test]
fn doctor_reports_faulty_settings_and_checks_the_rest() {
    let made = MadeHost::new(&[
        (
            "docker",
            "case $1 in -v) echo Docker version 28.2.2;; info) echo 28.2.2;; *) echo default;; esac",
        ),
        ("podman", "exit 1"),
        ("git", "echo git version 2.39.5"),
        ("sgdisk", "exit 1"),
        ("kas-container", "echo kas-container 5.1"),
    ]);
    let project = "[settings]\nexecutor = 'kas-contaner'\ndl-dir = '/nowhere'\n";
    let variables = [("DL_DIR", "dl"), ("ISAR_BUILD_ALL_JOB", "3")];
    let report = made.report(&host(), project, &variables);
    let text = made.text(&report);
    insta::assert_snapshot!(text);
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn doctor_needs_no_engine_with_the_kas_executor() {
    let made = MadeHost::new(&[
        ("kas", "echo kas 5.5"),
        ("git", "echo git version 2.39.5"),
        ("sgdisk", "exit 1"),
    ]);
    let report = made.report(
        &host(),
        "[settings]\nexecutor = 'kas'\nstore = 'local'\n",
        &[],
    );
    insta::assert_snapshot!(made.text(&report));
    assert_eq!(report.exit_code(), 0);
}

#[test]
fn doctor_fails_without_a_required_nix_or_a_writable_directory() {
    let made = MadeHost::new(&[
        (
            "docker",
            "case $1 in -v) echo Docker version 28.2.2;; info) echo 28.2.2;; *) echo default;; esac",
        ),
        ("git", "echo git version 2.39.5"),
        ("sgdisk", "exit 1"),
        ("kas-container", "echo kas-container 5.5"),
    ]);
    std::fs::write(made.dir.path().join("file"), "").unwrap();
    let project = "[settings]\nstore = 'nix'\noutput-dir = 'file/below'\n";
    let report = made.report(&host(), project, &[]);
    insta::assert_snapshot!(made.text(&report));
    assert_eq!(report.exit_code(), 4);
}

#[test]
fn doctor_names_missing_tools_of_a_rootless_host() {
    let made = MadeHost::new(&[
        (
            "podman",
            "case $1 in --version) echo podman version 4.3.1;; *) echo 'Error: exec: \"newuidmap\": executable file not found in $PATH' >&2; exit 1;; esac",
        ),
        ("sgdisk", "exit 1"),
        ("git", "echo git version 2.39.5"),
        ("kas-container", "echo kas-container 5.1"),
        ("nix-store", "echo hello"),
    ]);
    let report = made.report(&host(), "[settings]\nisar-mode = 'rootless'\n", &[]);
    insta::assert_snapshot!(made.text(&report));
}

#[test]
fn room_is_told_once_a_file_system() {
    let made = MadeHost::new(&[]);
    let report = made.report(&host(), "", &[]);
    let disks = report.checks.iter().filter(|check| check.name == "disk");
    let said: Vec<&str> = disks.filter_map(|check| check.message.as_deref()).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    let names = "for state-dir, build-root, output-dir, dl-dir, sstate-dir, repo-ref-dir";
    assert!(said[0].ends_with(names), "{said:?}");
}

#[test]
fn doctor_warns_of_little_disk_space() {
    let check = room_check("state-dir", Some(3 * GIB), Path::new("/x"));
    assert_eq!(check.verdict, CheckVerdict::Warn);
    insta::assert_snapshot!(format!(
        "{}\n{}\n{}",
        check.message.unwrap(),
        check.hint.unwrap(),
        room_check("state-dir", None, Path::new("/x"))
            .message
            .unwrap()
    ));
}

#[test]
fn doctor_warns_without_git() {
    let check = program_check(&FoundProgram {
        name: "git",
        found: None,
    });
    insta::assert_snapshot!(format!(
        "{}\n{}",
        check.message.unwrap(),
        check.hint.unwrap()
    ));
}
