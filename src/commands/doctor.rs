//! `doctor`: what this host has and lacks, tool by tool, with what to do about it.
//!
//! Never stops at the first fault, needs no matrix, and works with a broken variants.toml.

mod directories;
mod report;
mod wsl;

use crate::cli::Format;
use crate::settings::{Ci, Environment, Executor, Resolution, Settings, StoreChoice, Surroundings};
use crate::tools::{Candidate, Found, Host, NixAccess, NoNix, Program, Survey, ToolError};
use crate::wsl::Machine;

use super::config;
use super::context::Context;
use super::failure::Failure;
use directories::directory_checks;

pub use report::{Check, DoctorReport, Verdict};

/// The text that the command prints, and its exit code.
///
/// # Errors
/// When a settings file exists and cannot be read.
pub fn run(context: &Context) -> Result<(String, u8), Failure> {
    let layers = context.layers(context.project_file()?)?;
    let resolution = Settings::resolve_leniently(&layers);
    let report = doctor(&resolution, &layers.environment, &context.surroundings);
    let text = match context.cli.output.format {
        Format::Json => super::json(&report)?,
        Format::Text | Format::Dot => report.render(context.colors_output(&resolution.settings)),
    };
    Ok((text, report.exit_code()))
}

/// Looks at everything that a build with these settings needs.
#[must_use]
pub fn doctor(
    resolution: &Resolution,
    environment: &Environment,
    surroundings: &Surroundings,
) -> DoctorReport {
    let host = Host::capture(environment);
    doctor_on(&host, resolution, environment, surroundings)
}

/// As [`doctor`], on a host that is already known.
#[must_use]
pub fn doctor_on(
    host: &Host,
    resolution: &Resolution,
    environment: &Environment,
    surroundings: &Surroundings,
) -> DoctorReport {
    let settings = &resolution.settings;
    let survey = Survey::take(settings, environment, host);
    let mut checks = vec![host_check(host), user_check(host)];
    checks.extend(surroundings_checks(surroundings));
    checks.extend(settings_checks(resolution, environment));
    checks.extend(runner_checks(settings, &survey));
    checks.push(nix_check(settings.store.value, &survey));
    checks.extend(survey.programs.iter().map(program_check));
    let machine = Machine::capture(host);
    // That mounts or ledger cannot be read is said below.
    let mut drives = machine.drives().unwrap_or_default().drives;
    drives.extend(machine.away().unwrap_or_default());
    checks.extend(directory_checks(settings, &drives));
    checks.extend(wsl::wsl_checks(machine, host, settings, environment));
    DoctorReport::new(checks)
}

fn host_check(host: &Host) -> Check {
    let arch = host
        .arch
        .map_or("unknown architecture", |arch| arch.as_str());
    let wsl = match host.wsl.as_deref() {
        None => String::new(),
        Some("") => ", WSL".to_owned(),
        Some(distro) => format!(", WSL ({distro})"),
    };
    let nixos = if host.nixos { ", NixOS" } else { "" };
    Check::new("host", Verdict::Ok).says(format!("{arch}, Linux {}{wsl}{nixos}", host.kernel))
}

fn user_check(host: &Host) -> Check {
    match host.refuse_root() {
        Ok(()) => Check::new("user", Verdict::Ok).says(format!("uid {}", host.uid)),
        Err(error) => Check::tool("user", true, &error),
    }
}

fn surroundings_checks(surroundings: &Surroundings) -> Vec<Check> {
    let mut checks = Vec::new();
    let service = match surroundings.ci {
        Ci::None => None,
        Ci::Github => Some("GitHub Actions"),
        Ci::Gitlab => Some("GitLab CI"),
        Ci::Other => Some("a service that sets CI"),
    };
    checks.extend(service.map(|service| Check::new("ci", Verdict::Ok).says(service)));
    if surroundings.premirrors {
        checks.push(Check::new("mirrors", Verdict::Ok).says(
            "KAS_PREMIRRORS is set: repositories may come from elsewhere than the kas files say",
        ));
    }
    checks
}

/// No TOML at all is a warning: `check` judges variants.toml, and the settings around it are used.
fn settings_checks(resolution: &Resolution, environment: &Environment) -> Vec<Check> {
    let faults = resolution.faults.iter().map(|fault| {
        let verdict = if fault.syntax {
            Verdict::Warn
        } else {
            Verdict::Fail
        };
        Check::new("settings", verdict)
            .says(format!("{}: {}", fault.place(), fault.message))
            .hint(fault.hint.clone())
    });
    let warnings = config::warnings(&resolution.settings, environment)
        .into_iter()
        .map(|warning| {
            Check::new("settings", Verdict::Warn)
                .says(warning)
                .hint(Some(
                    "`isar-build-all config` shows where each value comes from".to_owned(),
                ))
        });
    faults.chain(warnings).collect()
}

fn runner_checks(settings: &Settings, survey: &Survey) -> Vec<Check> {
    let in_container = settings.executor.value == Executor::KasContainer;
    let mut checks = Vec::new();
    checks.push(match &survey.kas_container {
        Ok(found) => Check::new("kas-container", Verdict::Ok)
            .at(&found.program, Some(found.version))
            .says(format!("run with {}", found.mode_flag)),
        Err(error) => Check::tool("kas-container", in_container, error),
    });
    checks.push(match &survey.kas {
        Ok(found) => Check::new("kas", Verdict::Ok).at(&found.program, Some(found.version)),
        Err(error) => Check::tool("kas", !in_container, error),
    });
    for found in &survey.engines {
        checks.extend(engine_checks(found, survey, in_container));
    }
    // An engine that is refused has a line of its own; that there is none at all has not.
    if let Err(error @ (ToolError::NoEngine | ToolError::EngineNotFound { .. })) = &survey.engine
        && in_container
    {
        checks.push(Check::tool("engine", true, error));
    }
    checks
}

fn engine_checks(found: &Found, survey: &Survey, needed: bool) -> Vec<Check> {
    let name = found.kind.as_str();
    let chosen = survey.engine.as_ref().ok().map(|engine| engine.kind);
    match &found.candidate {
        Candidate::Absent => vec![Check::new(name, Verdict::Ok).says("not installed")],
        Candidate::Refused(refusal) => {
            let verdict = match &survey.engine {
                _ if !needed => Verdict::Ok,
                Err(ToolError::EngineRefused(refusals)) if refusals.contains(refusal) => {
                    Verdict::Fail
                }
                Ok(engine) if engine.passed_over.contains(refusal) => Verdict::Warn,
                _ => Verdict::Ok,
            };
            let mut check = Check::new(name, verdict);
            check.path.clone_from(&found.path);
            vec![match verdict {
                Verdict::Ok => check.says(format!("not used ({refusal})")),
                _ => check.says(refusal.to_string()).hint(Some(refusal.hint())),
            }]
        }
        Candidate::Usable(engine) => {
            let is_chosen = needed && chosen == Some(found.kind);
            let how = engine.prefix.join(" ");
            let message = match is_chosen {
                true => format!("used, as `{how}`"),
                false => "works, and is not used".to_owned(),
            };
            let mut checks = vec![
                Check::new(name, Verdict::Ok)
                    .at(&engine.program, Some(engine.version))
                    .says(message),
            ];
            checks.extend(engine.notes.iter().filter(|_| is_chosen).map(|note| {
                Check::new(name, Verdict::Warn)
                    .says(note.message.clone())
                    .hint(Some(note.hint.clone()))
            }));
            checks
        }
    }
}

fn nix_check(choice: StoreChoice, survey: &Survey) -> Check {
    let instead = "artifacts go to the local store";
    match (&survey.nix, choice) {
        (Ok(nix), choice) => {
            let access = match nix.access {
                NixAccess::SingleUser => "of one user, without a daemon",
                NixAccess::Daemon => "through its daemon",
            };
            let store = nix.store_dir.display();
            let message = match choice {
                StoreChoice::Local => format!("{store} is not used: {instead}"),
                StoreChoice::Auto | StoreChoice::Nix => format!("{store}, {access}"),
            };
            Check::new("nix-store", Verdict::Ok)
                .at(&nix.program, Some(nix.version))
                .says(message)
        }
        (Err(why), StoreChoice::Nix) => {
            let error = ToolError::NoNix(why.clone());
            Check::tool("nix-store", true, &error)
        }
        (Err(NoNix::Absent), _) => {
            Check::new("nix-store", Verdict::Ok).says(format!("not installed: {instead}"))
        }
        (Err(why), StoreChoice::Local) => {
            Check::new("nix-store", Verdict::Ok).says(format!("not needed ({why})"))
        }
        // Someone who has installed Nix most likely means it to be used.
        (Err(why), StoreChoice::Auto) => Check::new("nix-store", Verdict::Warn)
            .says(format!("{why}; {instead}"))
            .hint(why.hint()),
    }
}

fn program_check(program: &Program) -> Check {
    match (&program.found, program.name) {
        (Some((path, version)), name) => Check::new(name, Verdict::Ok).at(path, *version),
        (None, "git") => Check::new("git", Verdict::Warn)
            .says("not installed: kas-container cannot tell where the repository begins")
            .hint(Some("`sudo apt install git`".to_owned())),
        (None, name) => {
            Check::new(name, Verdict::Ok).says("not installed; it is not needed to build")
        }
    }
}

#[cfg(test)]
mod tests;
