//! The checks of `doctor` on WSL: drives, misplaced directories, and the sync guard of builds.

use crate::commands::doctor::report::{CheckVerdict, DoctorCheck};
use crate::host::identity::Host;
use crate::settings::{Environment, ExecutorChoice, Settings, SyncGuard};
use crate::wsl::WslHost;
use crate::wsl::ledger::peek;
use crate::wsl::misplaced::{MOVE, misplaced};

/// The checks; none outside of WSL.
pub(super) fn wsl_checks(
    machine: WslHost,
    host: &Host,
    settings: &Settings,
    environment: &Environment,
) -> Vec<DoctorCheck> {
    if machine.wsl.is_none() {
        return Vec::new();
    }
    let mut checks = vec![drives_check(&machine)];
    match misplaced(settings, &machine) {
        Ok(misplaced) => checks.extend(misplaced.into_iter().map(|said| {
            DoctorCheck::new("directory", CheckVerdict::Fail)
                .says(said)
                .hint(Some(MOVE.to_owned()))
        })),
        Err(failure) => checks.push(
            DoctorCheck::new("wsl", CheckVerdict::Fail)
                .says(failure.message)
                .hint(failure.hint),
        ),
    }
    checks.extend(away_check(&machine));
    checks.push(guard_check(machine, host, settings, environment));
    checks
}

fn drives_check(machine: &WslHost) -> DoctorCheck {
    match machine.drives() {
        Err(error) => DoctorCheck::new("drives", CheckVerdict::Warn)
            .says(format!("the mounts cannot be read: {error}")),
        Ok(found) => {
            let shown: Vec<String> = found
                .drives
                .iter()
                .map(|drive| {
                    let options = drive.options.join(",");
                    format!(
                        "{} ({}, {}, {options})",
                        drive.point.display(),
                        drive.source,
                        drive.fs_type
                    )
                })
                .collect();
            let check = DoctorCheck::new("drives", CheckVerdict::Ok);
            match shown.is_empty() {
                true => check.says("no Windows drive is mounted"),
                false => check.says(shown.join("\n")),
            }
        }
    }
}

fn away_check(machine: &WslHost) -> Option<DoctorCheck> {
    // The check of the directories reports a ledger that cannot be read.
    let away = peek(&machine.ledger).ok()??;
    if away.users.iter().any(|user| user.is_alive(&machine.proc)) {
        return None;
    }
    let points: Vec<String> = away
        .drives
        .iter()
        .map(|drive| drive.point.display().to_string())
        .collect();
    let check = DoctorCheck::new("drives", CheckVerdict::Warn);
    Some(
        check
            .says(format!("left unmounted: {}", points.join(", ")))
            .hint(Some("`isar-build-all wsl remount`".to_owned())),
    )
}

fn guard_check(
    machine: WslHost,
    host: &Host,
    settings: &Settings,
    environment: &Environment,
) -> DoctorCheck {
    let in_container = settings.executor.value == ExecutorChoice::KasContainer;
    let root = machine.with_root(environment, host.uid);
    let check = |verdict, says: &str| DoctorCheck::new("sync-guard", verdict).says(says);
    match (settings.wsl_sync_guard.value, in_container, root) {
        (SyncGuard::Off, _, _) => check(
            CheckVerdict::Warn,
            "off: a build hangs where sgdisk syncs and Windows does not answer (FM-6)",
        )
        .hint(Some("set `wsl.sync-guard = \"auto\"`".to_owned())),
        (SyncGuard::Seccomp, false, _) => check(
            CheckVerdict::Fail,
            "seccomp needs a container, and kas runs without one",
        )
        .hint(Some("set `wsl.sync-guard = \"unmount\"`".to_owned())),
        (SyncGuard::Seccomp, true, _) => check(CheckVerdict::Ok, "seccomp"),
        (SyncGuard::Auto, true, Ok(_)) => check(
            CheckVerdict::Ok,
            "seccomp, or unmounting if the engine does not apply it",
        ),
        (SyncGuard::Auto, true, Err(error)) => check(
            CheckVerdict::Warn,
            &format!("seccomp; builds fail if the engine does not apply it, because {error}"),
        )
        .hint(Some(error.hint())),
        (SyncGuard::Unmount, _, Ok(_)) | (SyncGuard::Auto, false, Ok(_)) => check(
            CheckVerdict::Ok,
            "drives are unmounted while an image is made",
        ),
        (SyncGuard::Unmount, _, Err(error)) | (SyncGuard::Auto, false, Err(error)) => {
            check(CheckVerdict::Fail, &error.to_string()).hint(Some(error.hint()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::DoctorReport;
    use crate::settings::LayerInput;
    use crate::tools::tests::made::{SUDO, host, program};

    /// A sudo with a cached password: `-k` drops it.
    const REMEMBERS: &str = "for word; do [ \"$word\" = -k ] && exit 1; done; exit 0";

    fn said(sudo: &str, settings: &[(&str, &str)]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("proc/self")).unwrap();
        std::fs::create_dir(at("bin")).unwrap();
        program(&at("bin/sudo"), sudo);
        let mounts = "24 1 8:1 / / rw - ext4 /dev/sda rw\n\
                      75 24 0:44 / /mnt/c rw,noatime - 9p C:\\134 rw\n";
        std::fs::write(at("proc/self/mountinfo"), mounts).unwrap();
        let host = Host {
            wsl: Some("Debian".to_owned()),
            ..host()
        };
        let machine = WslHost {
            proc: at("proc"),
            conf: at("wsl.conf"),
            ledger: at("ledger"),
            ..WslHost::capture(&host)
        };
        let path = at("bin").display().to_string();
        let variables = settings.iter().copied().chain([("PATH", path.as_str())]);
        let environment = Environment::new(dir.path(), variables);
        let input = LayerInput {
            project_dir: dir.path().into(),
            working_dir: dir.path().into(),
            environment: environment.clone(),
            ..LayerInput::default()
        };
        let resolved = Settings::resolve(&input).unwrap();
        let report = DoctorReport::new(wsl_checks(machine, &host, &resolved, &environment));
        report.render(false)
    }

    #[test]
    fn drives_misplaced_directories_and_the_guard_are_shown() {
        let variables = [
            ("DL_DIR", "/mnt/c/downloads"),
            ("ISAR_BUILD_ALL_WSL_SYNC_GUARD", "unmount"),
        ];
        insta::assert_snapshot!(said(SUDO, &variables), @r#"
        ok    drives        /mnt/c (C:\, 9p, rw,noatime)
        FAIL  directory     dl-dir /mnt/c/downloads is on the Windows drive /mnt/c (C:\)
                            hint: set it to a Linux directory, such as one below ~, in [settings] of variants.toml or by its variable (docs/settings.md)
        ok    sync-guard    drives are unmounted while an image is made

        This host cannot build: 1 failure, 0 warnings.
        "#);
    }

    #[test]
    fn a_directory_on_an_unmounted_drive_is_misplaced() {
        use std::os::unix::fs::DirBuilderExt as _;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("proc/self")).unwrap();
        std::fs::create_dir_all(at("proc/sys/kernel/random")).unwrap();
        let root = "24 1 8:1 / / rw - ext4 /dev/sda rw\n";
        let whole = format!("{root}75 24 0:44 / /mnt/c rw - 9p C:\\134 rw\n");
        let mounts = |text: &str| std::fs::write(at("proc/self/mountinfo"), text).unwrap();
        std::fs::write(at("proc/sys/kernel/random/boot_id"), "this\n").unwrap();
        let machine = WslHost {
            wsl: Some("Debian".to_owned()),
            proc: at("proc"),
            conf: at("wsl.conf"),
            ledger: at("ledger"),
            ..WslHost::capture(&host())
        };
        mounts(&whole);
        let drives = machine.drives().unwrap().drives;
        mounts(root);
        let variables = [("DL_DIR", "/mnt/c/downloads")];
        let input = LayerInput {
            project_dir: dir.path().into(),
            working_dir: dir.path().into(),
            environment: Environment::new(dir.path(), variables),
            ..LayerInput::default()
        };
        let settings = Settings::resolve(&input).unwrap();
        assert_eq!(
            misplaced(&settings, &machine).unwrap(),
            Vec::<String>::new()
        );
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(at("ledger"))
            .unwrap();
        for (boot, count) in [("another", 0), ("this", 1)] {
            let away = crate::wsl::ledger::UnmountedDrives {
                boot: boot.to_owned(),
                drives: drives.clone(),
                users: Vec::new(),
            };
            std::fs::write(at("ledger/drives.json"), serde_json::to_vec(&away).unwrap()).unwrap();
            let said = misplaced(&settings, &machine).unwrap();
            assert_eq!(said.len(), count, "{said:?}");
        }
        // A ledger that cannot be parsed may name the drive.
        std::fs::write(at("ledger/drives.json"), "{").unwrap();
        assert!(misplaced(&settings, &machine).is_err());
    }

    #[test]
    fn a_cached_sudo_password_does_not_count() {
        insta::assert_snapshot!(said(REMEMBERS, &[]), @r#"
        ok    drives        /mnt/c (C:\, 9p, rw,noatime)
        warn  sync-guard    seccomp; builds fail if the engine does not apply it, because mounting needs sudo without a password, and sudo only remembers one
                            hint: allow it by `sudo visudo`: USER ALL=(root) NOPASSWD: ALL; or set `wsl.sync-guard = "seccomp"`

        This host can build, with 1 warning.
        "#);
        let unmount = [("ISAR_BUILD_ALL_WSL_SYNC_GUARD", "unmount")];
        assert!(said(REMEMBERS, &unmount).contains("cannot build: 1 failure"));
        assert!(said(SUDO, &unmount).contains("This host can build."));
        let off = [("ISAR_BUILD_ALL_WSL_SYNC_GUARD", "off")];
        assert!(said(SUDO, &off).contains("FM-6"));
    }
}
