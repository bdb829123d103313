//! How the builds of a run are kept from hanging on a Windows drive, from settings and machine; and what lies
//! on a drive that must not.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::commands::failure::Failure;
use crate::settings::{Environment, Holders, Settings, SyncGuard};
use crate::steps::build::{Ask, Guarding};
use crate::tools::{EngineKind, Host, Runner};
use crate::wsl::{Drive, Keeper, Machine, Policy, drive_of, write_profile};

/// What there is to decide from.
pub(in crate::commands) struct Place<'a> {
    pub(in crate::commands) settings: &'a Settings,
    pub(in crate::commands) environment: &'a Environment,
    pub(in crate::commands) host: &'a Host,
    pub(in crate::commands) project_dir: &'a Path,
}

/// The directories that lie on a Windows drive and must not, as sentences: what builds there does not get
/// what Linux promises of files, and a drive in use cannot be unmounted.
pub(in crate::commands) fn misplaced(
    settings: &Settings,
    machine: &Machine,
) -> Result<Vec<String>, Failure> {
    let drives = drives(machine)?;
    Ok(settings
        .directories()
        .into_iter()
        .filter_map(|(name, path)| {
            let drive = drive_of(path, &drives)?;
            Some(format!(
                "{name} {} lies on the Windows drive {} ({})",
                path.display(),
                drive.point.display(),
                drive.source
            ))
        })
        .collect())
}

/// The Windows drives, those that are unmounted at the moment among them.
fn drives(machine: &Machine) -> Result<Vec<Drive>, Failure> {
    let there = machine.drives().map_err(Failure::environment)?.drives;
    let away = machine
        .away()
        .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
    Ok(there.into_iter().chain(away).collect())
}

/// What to do about [`misplaced`] directories.
pub(in crate::commands) const MOVE: &str = "set it to a directory of Linux, such as one below ~, in [settings] of \
                                  variants.toml or by its variable (docs/settings.md)";

/// The guard that these settings ask for on this machine; none where there is nothing to guard against.
///
/// # Errors
/// Where the guard that was asked for cannot be had.
pub(in crate::commands) fn guarding(
    place: &Place<'_>,
    runner: &Runner,
) -> Result<Option<Guarding>, Failure> {
    let settings = place.settings;
    let choice = settings.wsl_sync_guard.value;
    let is_wsl = place.host.wsl.is_some();
    let wanted = match choice {
        SyncGuard::Off => false,
        SyncGuard::Seccomp => true,
        SyncGuard::Auto | SyncGuard::Unmount => is_wsl,
    };
    if !wanted {
        return Ok(None);
    }
    let mut profile = None;
    if choice != SyncGuard::Unmount {
        let why = match runner {
            Runner::Kas(_) => Some("kas runs without a container of ours"),
            Runner::Container { .. } if has_own_profile(settings) => {
                Some("`runtime-args` set another seccomp profile")
            }
            Runner::Container { .. } => None,
        };
        match why {
            Some(why) if choice == SyncGuard::Seccomp => {
                let message = format!("`wsl.sync-guard = \"seccomp\"` cannot be had: {why}");
                let hint = "set `wsl.sync-guard = \"unmount\"`".to_owned();
                return Err(Failure::environment(message).hint(Some(hint)));
            }
            Some(_) => {}
            None => {
                let written = write_profile(&settings.state_dir.value);
                let failed = |error: crate::files::PathError| {
                    Failure::environment(&error).hint(error.hint())
                };
                profile = Some(written.map_err(failed)?);
            }
        }
    }
    let machine = Machine::capture(place.host);
    if choice == SyncGuard::Unmount {
        let drives = drives(&machine)?;
        if let Some(drive) = drive_of(place.project_dir, &drives) {
            let message = format!(
                "the project {} lies on the Windows drive {}, which is to be unmounted while an image is made",
                place.project_dir.display(),
                drive.point.display()
            );
            let hint = "move it to a directory of Linux, or set `wsl.sync-guard = \"seccomp\"`";
            return Err(Failure::environment(message).hint(Some(hint.to_owned())));
        }
    }
    let outer_filters = outer_filters(runner, machine.filters());
    let policy = Policy {
        unmount: settings.wsl_unmount.value,
        holders: settings.wsl_holders.value,
        patience: Duration::from_secs(settings.wsl_holders_timeout.value),
    };
    let keeper = match machine.with_root(place.environment, place.host.uid) {
        Ok(machine) => Ok(Keeper::new(Arc::new(machine), policy)),
        // It may never be needed.
        Err(error) if profile.is_some() => Err((error.to_string(), error.hint())),
        Err(error) => return Err(Failure::environment(&error).hint(Some(error.hint()))),
    };
    Ok(Some(Guarding {
        choice,
        profile,
        outer_filters,
        keeper,
        ask: asker(settings),
    }))
}

/// How many of our own filters a container has from us. One of Docker's is started by its daemon, which is not
/// under them.
fn outer_filters(runner: &Runner, own: u32) -> u32 {
    match runner.engine() {
        Some(engine) if engine.kind == EngineKind::Docker => 0,
        _ => own,
    }
}

fn has_own_profile(settings: &Settings) -> bool {
    let arguments = &settings.runtime_args.value;
    arguments
        .iter()
        .any(|argument| argument.contains("seccomp="))
}

/// Asks on the terminal, where there is one. Between two lines of output the question stands by itself.
fn asker(settings: &Settings) -> Option<Ask> {
    if settings.wsl_holders.value != Holders::Ask || !is_there() {
        return None;
    }
    Some(Arc::new(|what: &str, stopped: &dyn Fn() -> bool| {
        ask(what, stopped).unwrap_or(false)
    }))
}

fn terminal() -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).open("/dev/tty")
}

fn is_there() -> bool {
    terminal().is_ok()
}

/// Whether the answer is to try again. A request to stop ends the question.
fn ask(what: &str, stopped: &dyn Fn() -> bool) -> std::io::Result<bool> {
    let mut terminal = terminal()?;
    write!(
        terminal,
        "\r\nThe drives of Windows are in use: {what}\r\nEnd that, then press Enter to try again; `f` and Enter to give up: "
    )?;
    let tick = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: 200_000_000,
    };
    loop {
        let flags = rustix::event::PollFlags::IN;
        let mut polled = [rustix::event::PollFd::from_borrowed_fd(
            terminal.as_fd(),
            flags,
        )];
        if rustix::event::poll(&mut polled, Some(&tick))? > 0 {
            break;
        }
        if stopped() {
            return Ok(false);
        }
    }
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer)?;
    Ok(!answer.trim_start().starts_with(['f', 'F']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{Engine, KasContainer, Version};
    use crate::wsl::is_filtered;

    #[test]
    fn our_own_filters_are_taken_off_where_the_engine_is_our_child_and_not_under_docker() {
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
        for (kind, is_own) in [(EngineKind::Docker, true), (EngineKind::Podman, false)] {
            let outer = outer_filters(&runner(kind), 1);
            assert_eq!(is_filtered(one, outer), is_own, "{kind}");
        }
    }
}
