//! `doctor`: checks the host, tool by tool, with a hint for each fault.
//!
//! It reports all faults at once, needs no matrix, and works with a broken variants.toml.

mod directories;
mod report;
#[cfg(test)]
mod tests;
mod wsl;

use std::process::ExitCode;

use crate::host::identity::Host;
use crate::settings::{Ci, Environment, ExecutorChoice, Resolution, Settings, Surroundings};
use crate::store::Backend;
use crate::store::backend::{StoreFinding, StoreVerdict};
use crate::tools::{EngineCandidate, FoundEngine, FoundProgram, Survey, ToolError};
use crate::wsl::WslHost;

use crate::base::failure::Failure;
use crate::commands::doctor::directories::directory_checks;
use crate::commands::output::{json, print_with};
use crate::commands::{Invocation, Subcommand, config};
use crate::project::arguments::OutputFormat;
use crate::project::context::Context;

use crate::commands::doctor::report::{CheckVerdict, DoctorCheck, DoctorReport};

pub(super) struct DoctorCommand;

impl Subcommand for DoctorCommand {
    fn define(&self) -> clap::Command {
        clap::Command::new("doctor")
            .about("Check this host: tools, permissions, directories, disk space")
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        print_with(run(&call.context()?)?)
    }
}

/// The text to print, and the exit code.
///
/// # Errors
/// When a settings file exists and cannot be read.
fn run(context: &Context) -> Result<(String, u8), Failure> {
    let layers = context.layers(context.project_file()?)?;
    let resolution = Settings::resolve_leniently(&layers);
    let report = doctor(&resolution, &layers.environment, context);
    let text = match context.arguments.output.format {
        OutputFormat::Json => json(&report)?,
        OutputFormat::Text | OutputFormat::Dot => {
            report.render(context.colors_output(&resolution.settings))
        }
    };
    Ok((text, report.exit_code()))
}

/// Checks everything that a build with these settings needs.
fn doctor(resolution: &Resolution, environment: &Environment, context: &Context) -> DoctorReport {
    let host = Host::capture(environment);
    let surroundings = &context.surroundings;
    doctor_on(
        &host,
        resolution,
        environment,
        (surroundings, &context.backends),
    )
}

/// As [`doctor`], for a host that was captured before.
fn doctor_on(
    host: &Host,
    resolution: &Resolution,
    environment: &Environment,
    (surroundings, backends): (&Surroundings, &[&'static dyn Backend]),
) -> DoctorReport {
    let settings = &resolution.settings;
    let (survey, stores) = std::thread::scope(|scope| {
        let stores = scope.spawn(|| -> Vec<StoreFinding> {
            let findings = backends.iter();
            findings
                .filter_map(|one| one.examine(&settings.store.value, environment))
                .collect()
        });
        let survey = Survey::take(settings, environment, host);
        let stores = stores.join();
        (
            survey,
            stores.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        )
    });
    let mut checks = vec![host_check(host), user_check(host)];
    checks.extend(surroundings_checks(surroundings));
    checks.extend(settings_checks(resolution, environment));
    checks.extend(runner_checks(settings, &survey));
    checks.extend(stores.into_iter().map(store_check));
    checks.extend(survey.programs.iter().map(program_check));
    let machine = WslHost::capture(host);
    // `wsl_checks` reports mounts or a ledger that cannot be read.
    let mut drives = machine.drives().unwrap_or_default().drives;
    drives.extend(machine.unmounted().unwrap_or_default());
    checks.extend(directory_checks(settings, &drives));
    checks.extend(wsl::wsl_checks(machine, host, settings, environment));
    DoctorReport::new(checks)
}

fn host_check(host: &Host) -> DoctorCheck {
    let arch = host
        .arch
        .map_or("unknown architecture", |arch| arch.as_str());
    let wsl = match host.wsl.as_deref() {
        None => String::new(),
        Some("") => ", WSL".to_owned(),
        Some(distro) => format!(", WSL ({distro})"),
    };
    let nixos = if host.nixos { ", NixOS" } else { "" };
    DoctorCheck::new("host", CheckVerdict::Ok)
        .says(format!("{arch}, Linux {}{wsl}{nixos}", host.kernel))
}

fn user_check(host: &Host) -> DoctorCheck {
    match host.refuse_root() {
        Ok(()) => DoctorCheck::new("user", CheckVerdict::Ok).says(format!("uid {}", host.uid)),
        Err(error) => DoctorCheck::tool("user", true, &error.into()),
    }
}

fn surroundings_checks(surroundings: &Surroundings) -> Vec<DoctorCheck> {
    let mut checks = Vec::new();
    let service = match surroundings.ci {
        Ci::None => None,
        Ci::Github => Some("GitHub Actions"),
        Ci::Gitlab => Some("GitLab CI"),
        Ci::Other => Some("a service that sets CI"),
    };
    checks.extend(service.map(|service| DoctorCheck::new("ci", CheckVerdict::Ok).says(service)));
    if surroundings.premirrors {
        checks.push(DoctorCheck::new("mirrors", CheckVerdict::Ok).says(
            "KAS_PREMIRRORS is set: repositories may be fetched from other places than the kas files name",
        ));
    }
    checks
}

/// A file that is not TOML is a warning: `check` judges variants.toml, and the other layers still count.
fn settings_checks(resolution: &Resolution, environment: &Environment) -> Vec<DoctorCheck> {
    let faults = resolution.faults.iter().map(|fault| {
        let verdict = if fault.syntax {
            CheckVerdict::Warn
        } else {
            CheckVerdict::Fail
        };
        DoctorCheck::new("settings", verdict)
            .says(format!("{}: {}", fault.place(), fault.message))
            .hint(fault.hint.clone())
    });
    let warnings = config::warnings(&resolution.settings, environment)
        .into_iter()
        .map(|warning| {
            DoctorCheck::new("settings", CheckVerdict::Warn)
                .says(warning)
                .hint(Some(
                    "`isar-build-all config` shows where each value comes from".to_owned(),
                ))
        });
    faults.chain(warnings).collect()
}

fn runner_checks(settings: &Settings, survey: &Survey) -> Vec<DoctorCheck> {
    let in_container = settings.executor.value == ExecutorChoice::KasContainer;
    let mut checks = Vec::new();
    checks.push(match &survey.kas_container {
        Ok(found) => DoctorCheck::new("kas-container", CheckVerdict::Ok)
            .at(&found.program, Some(found.version))
            .says(format!("run with {}", found.mode_flag)),
        Err(error) => DoctorCheck::tool("kas-container", in_container, error),
    });
    checks.push(match &survey.kas {
        Ok(found) => {
            DoctorCheck::new("kas", CheckVerdict::Ok).at(&found.program, Some(found.version))
        }
        Err(error) => DoctorCheck::tool("kas", !in_container, error),
    });
    for found in &survey.engines {
        checks.extend(engine_checks(found, survey, in_container));
    }
    // A refused engine has its own line already.
    if let Err(error @ (ToolError::NoEngine | ToolError::EngineNotFound { .. })) = &survey.engine
        && in_container
    {
        checks.push(DoctorCheck::tool("engine", true, error));
    }
    checks
}

fn engine_checks(found: &FoundEngine, survey: &Survey, needed: bool) -> Vec<DoctorCheck> {
    let name = found.kind.as_str();
    let chosen = survey.engine.as_ref().ok().map(|engine| engine.kind);
    match &found.candidate {
        EngineCandidate::Absent => {
            vec![DoctorCheck::new(name, CheckVerdict::Ok).says("not installed")]
        }
        EngineCandidate::Refused(refusal) => {
            let verdict = match &survey.engine {
                _ if !needed => CheckVerdict::Ok,
                Err(ToolError::EngineRefused(refusals)) if refusals.contains(refusal) => {
                    CheckVerdict::Fail
                }
                Ok(engine) if engine.passed_over.contains(refusal) => CheckVerdict::Warn,
                _ => CheckVerdict::Ok,
            };
            let mut check = DoctorCheck::new(name, verdict);
            check.path.clone_from(&found.path);
            vec![match verdict {
                CheckVerdict::Ok => check.says(format!("not used ({refusal})")),
                _ => check.says(refusal.to_string()).hint(Some(refusal.hint())),
            }]
        }
        EngineCandidate::Usable(engine) => {
            let is_chosen = needed && chosen == Some(found.kind);
            let how = engine.prefix.join(" ");
            let message = match is_chosen {
                true => format!("used, as `{how}`"),
                false => "works, and is not used".to_owned(),
            };
            let mut checks = vec![
                DoctorCheck::new(name, CheckVerdict::Ok)
                    .at(&engine.program, Some(engine.version))
                    .says(message),
            ];
            checks.extend(engine.notes.iter().filter(|_| is_chosen).map(|note| {
                DoctorCheck::new(name, CheckVerdict::Warn)
                    .says(note.message.clone())
                    .hint(Some(note.hint.clone()))
            }));
            checks
        }
    }
}

fn store_check(finding: StoreFinding) -> DoctorCheck {
    let verdict = match finding.verdict {
        StoreVerdict::Good => CheckVerdict::Ok,
        StoreVerdict::Doubtful => CheckVerdict::Warn,
        StoreVerdict::Unusable => CheckVerdict::Fail,
    };
    let check = DoctorCheck::new(finding.name, verdict);
    match finding.program {
        Some((program, version)) => check.at(&program, Some(version)),
        None => check,
    }
    .says(finding.message)
    .hint(finding.hint)
}

fn program_check(program: &FoundProgram) -> DoctorCheck {
    match (&program.found, program.name) {
        (Some((path, version)), name) => {
            DoctorCheck::new(name, CheckVerdict::Ok).at(path, *version)
        }
        (None, "git") => DoctorCheck::new("git", CheckVerdict::Warn)
            .says("not installed: kas-container cannot find the root of the repository")
            .hint(Some("`sudo apt install git`".to_owned())),
        (None, name) => DoctorCheck::new(name, CheckVerdict::Ok)
            .says("not installed; it is not needed to build"),
    }
}
