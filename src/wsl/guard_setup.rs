//! Chooses the guard of a run from its settings and the host: the seccomp profile, unmounting, or
//! none.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::failure::Failure;
use crate::host::identity::Host;
use crate::settings::{Environment, Settings, SyncGuard};
use crate::tools::Runner;
use crate::wsl::drive_keeper::DriveKeeper;
use crate::wsl::host::WslHost;
use crate::wsl::misplaced::all_drives;
use crate::wsl::path_on_drive::drive_of;
use crate::wsl::retry_prompt::terminal_prompt;
use crate::wsl::seccomp::write_profile;
use crate::wsl::unmount::{AskRetry, UnmountPolicy};

/// How the builds of a run are guarded.
#[derive(Clone)]
pub struct GuardSetup {
    /// The setting `wsl.sync-guard`; never [`SyncGuard::Off`].
    pub choice: SyncGuard,
    /// The seccomp profile for the builds' containers, if it is to be used.
    pub profile: Option<PathBuf>,
    /// The number of seccomp filters that the containers inherit from this process.
    pub outer_filters: u32,
    /// Unmounts drives; or the reason why nothing can, with a hint.
    pub keeper: Result<DriveKeeper, (String, String)>,
    /// Asks the user whether to try again; none without a terminal.
    pub ask: Option<Arc<AskRetry>>,
}

/// Input for the choice.
pub(crate) struct GuardRequest<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) environment: &'a Environment,
    pub(crate) host: &'a Host,
    pub(crate) project_dir: &'a Path,
}

/// The guard that the settings ask for; none where there is nothing to guard against.
///
/// # Errors
/// When the guard is not available.
pub(crate) fn choose_guard(
    request: &GuardRequest<'_>,
    runner: &Runner,
) -> Result<Option<GuardSetup>, Failure> {
    let settings = request.settings;
    let choice = settings.wsl_sync_guard.value;
    let is_wanted = match choice {
        SyncGuard::Off => false,
        SyncGuard::Seccomp => true,
        SyncGuard::Auto | SyncGuard::Unmount => request.host.wsl.is_some(),
    };
    if !is_wanted {
        return Ok(None);
    }
    let profile = match choice {
        SyncGuard::Unmount => None,
        _ => profile(settings, runner)?,
    };
    let host = WslHost::capture(request.host);
    if choice == SyncGuard::Unmount {
        refuse_project_on_drive(request.project_dir, &host)?;
    }
    let outer_filters = outer_filters(runner, host.filters());
    let policy = UnmountPolicy {
        unmount: settings.wsl_unmount.value,
        holders: settings.wsl_holders.value,
        patience: Duration::from_secs(settings.wsl_holders_timeout.value),
    };
    let keeper = match host.with_root(request.environment, request.host.uid) {
        Ok(host) => Ok(DriveKeeper::new(Arc::new(host), policy)),
        // With a profile the keeper may never be needed.
        Err(error) if profile.is_some() => Err((error.to_string(), error.hint())),
        Err(error) => return Err(Failure::environment(&error).hint(Some(error.hint()))),
    };
    Ok(Some(GuardSetup {
        choice,
        profile,
        outer_filters,
        keeper,
        ask: terminal_prompt(settings),
    }))
}

/// Writes the seccomp profile; none where the builds' containers cannot have it and `auto` falls
/// back to unmounting.
fn profile(settings: &Settings, runner: &Runner) -> Result<Option<PathBuf>, Failure> {
    let obstacle = match runner {
        Runner::Kas(_) => "kas runs without a container",
        Runner::Container { .. } if has_own_profile(settings) => {
            "`runtime-args` set another seccomp profile"
        }
        Runner::Container { .. } => {
            let written = write_profile(&settings.state_dir.value);
            return written
                .map(Some)
                .map_err(|error| Failure::environment(&error).hint(error.hint()));
        }
    };
    if settings.wsl_sync_guard.value == SyncGuard::Seccomp {
        let message = format!("`wsl.sync-guard = \"seccomp\"` is not available: {obstacle}");
        let hint = "set `wsl.sync-guard = \"unmount\"`".to_owned();
        return Err(Failure::environment(message).hint(Some(hint)));
    }
    Ok(None)
}

fn refuse_project_on_drive(project_dir: &Path, host: &WslHost) -> Result<(), Failure> {
    let drives = all_drives(host)?;
    let Some(drive) = drive_of(project_dir, &drives) else {
        return Ok(());
    };
    let message = format!(
        "the project {} is on the Windows drive {}, which is unmounted while an image is made",
        project_dir.display(),
        drive.point.display()
    );
    let hint = "move it to a Linux directory, or set `wsl.sync-guard = \"seccomp\"`";
    Err(Failure::environment(message).hint(Some(hint.to_owned())))
}

/// The number of this process's `own` filters that the builds' containers inherit.
fn outer_filters(runner: &Runner, own: u32) -> u32 {
    match runner.engine() {
        Some(engine) if !engine.inherits_filters() => 0,
        _ => own,
    }
}

fn has_own_profile(settings: &Settings) -> bool {
    let arguments = &settings.runtime_args.value;
    arguments
        .iter()
        .any(|argument| argument.contains("seccomp="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{Engine, EngineKind, KasContainer, Version};
    use crate::wsl::seccomp::is_filtered;

    #[test]
    fn containers_of_podman_inherit_filters_and_containers_of_docker_do_not() {
        let version = Version::new(5, 0);
        let runner = |kind: EngineKind| Runner::Container {
            kas_container: KasContainer {
                program: "kas-container".into(),
                version,
                mode_flag: "--isar",
            },
            engine: Box::new(Engine {
                kind,
                program: kind.as_str().into(),
                version,
                prefix: Vec::new(),
                environment: Vec::new(),
                passed_over: Vec::new(),
                notes: Vec::new(),
            }),
        };
        let one = "Seccomp:\t2\nSeccomp_filters:\t1\n";
        for (kind, has_profile) in [(EngineKind::Docker, true), (EngineKind::Podman, false)] {
            let outer = outer_filters(&runner(kind), 1);
            assert_eq!(is_filtered(one, outer), has_profile, "{kind}");
        }
    }
}
