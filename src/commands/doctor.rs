//! `doctor`: what this host has and lacks, tool by tool, with what to do about it.
//!
//! Never stops at the first fault, needs no matrix, and works with a broken variants.toml.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::Format;
use crate::settings::{Ci, Environment, Executor, Resolution, Settings, StoreChoice, Surroundings};
use crate::tools::{
    Candidate, Found, Host, NixAccess, NoNix, Program, Survey, ToolError, Version, file_system,
    free_space,
};

use super::config;
use super::context::Context;
use super::failure::Failure;
use super::paint::{Color, paint};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is as it should be, or not needed.
    Ok,
    /// Builds go on, and one should know.
    Warn,
    /// Nothing can be built.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The tool, or what else it is.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// The version, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The absolute path, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// What there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What to do, a line each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    fn new(name: &str, verdict: Verdict) -> Self {
        Self {
            name: name.to_owned(),
            verdict,
            version: None,
            path: None,
            message: None,
            hint: None,
        }
    }

    fn at(mut self, path: &Path, version: Option<Version>) -> Self {
        self.path = Some(path.to_path_buf());
        self.version = version.map(|version| version.to_string());
        self
    }

    fn says(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    fn tool(name: &str, needed: bool, error: &ToolError) -> Self {
        if needed {
            Self::new(name, Verdict::Fail)
                .says(error.to_string())
                .hint(error.hint())
        } else {
            Self::new(name, Verdict::Ok).says(format!("not needed ({error})"))
        }
    }
}

/// What was found. As JSON `{"schema":1,"checks":[…]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoctorReport {
    schema: u32,
    /// In the order in which they are shown.
    pub checks: Vec<Check>,
}

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
        Format::Text => report.render(context.colors_output(&resolution.settings)),
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
    checks.extend(directory_checks(settings));
    DoctorReport { schema: 1, checks }
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
                NixAccess::SingleUser => "written to directly",
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

const GIB: u64 = 1 << 30;

/// A build directory takes about 2 GB, an image and its capture another, and the caches as much again.
const LITTLE_ROOM: u64 = 10 * GIB;

/// A line for each directory that we may not write to, and one for each file system.
fn directory_checks(settings: &Settings) -> Vec<Check> {
    let directories = [
        ("state-dir", &settings.state_dir.value),
        ("build-root", &settings.build_root.value),
        ("output-dir", &settings.output_dir.value),
        ("dl-dir", &settings.dl_dir.value),
        ("sstate-dir", &settings.sstate_dir.value),
        ("repo-ref-dir", &settings.repo_ref_dir.value),
    ];
    let mut file_systems = Groups::new();
    let mut refused = Groups::new();
    for (name, path) in directories {
        file_systems.add(file_system(path), name, path);
        if let Some((nearest, reason)) = not_writable(path) {
            refused.add((nearest.to_path_buf(), reason), name, path);
        }
    }
    let refused = refused.0.into_iter().map(|((nearest, reason), names, _)| {
        Check::new("directory", Verdict::Fail)
            .says(format!(
                "{} {reason}: {}",
                nearest.display(),
                names.join(", ")
            ))
            .hint(Some(
                "make it yours, or move what is to be there by these settings".to_owned(),
            ))
    });
    let room = file_systems
        .0
        .into_iter()
        .map(|(_, names, path)| room_check(&names.join(", "), free_space(&path).ok(), &path));
    refused.chain(room).collect()
}

/// Names of settings by what their directories have in common, with one of the directories.
struct Groups<K>(Vec<(K, Vec<&'static str>, PathBuf)>);

impl<K: PartialEq> Groups<K> {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn add(&mut self, key: K, name: &'static str, path: &Path) {
        match self.0.iter_mut().find(|(known, ..)| *known == key) {
            Some((_, names, _)) => names.push(name),
            None => self.0.push((key, vec![name], path.to_path_buf())),
        }
    }
}

fn room_check(names: &str, free: Option<u64>, path: &Path) -> Check {
    match free {
        None => Check::new("disk", Verdict::Warn).says(format!(
            "the free space at {} cannot be told",
            path.display()
        )),
        Some(free) => {
            let says = format!("{} GiB free for {names}", free / GIB);
            if free < LITTLE_ROOM {
                Check::new("disk", Verdict::Warn).says(says).hint(Some(
                    "a build directory takes about 2 GiB; move some of these by their settings"
                        .to_owned(),
                ))
            } else {
                Check::new("disk", Verdict::Ok).says(says)
            }
        }
    }
}

/// Where and why nothing can be written. What does not exist yet is made below the nearest that does.
fn not_writable(path: &Path) -> Option<(&Path, &'static str)> {
    let nearest = path.ancestors().find(|ancestor| ancestor.exists())?;
    if !nearest.is_dir() {
        Some((nearest, "is no directory"))
    } else if rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK).is_err() {
        Some((nearest, "is not writable for this user"))
    } else {
        None
    }
}

impl DoctorReport {
    /// Aligned text: a line a check, hints below it, and a summary.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let width = |of: fn(&Check) -> usize| self.checks.iter().map(of).max().unwrap_or(0);
        let name_width = width(|check| check.name.len());
        let version_width = width(|check| check.version.as_ref().map_or(0, String::len));
        let mut text = String::new();
        for check in &self.checks {
            let (word, paint_with) = match check.verdict {
                Verdict::Ok => ("ok  ", Color::Green),
                Verdict::Warn => ("warn", Color::Yellow),
                Verdict::Fail => ("FAIL", Color::Red),
            };
            let version = check.version.as_deref().unwrap_or_default();
            let path = check.path.as_ref().map(|path| path.display().to_string());
            let said = [path, check.message.clone()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("  ");
            let indent = " ".repeat(4 + 2 + name_width + 2 + version_width + 2);
            let said = said.replace('\n', &format!("\n{indent}"));
            text += &format!(
                "{}  {:name_width$}  {version:version_width$}  {said}\n",
                paint(color, paint_with, word),
                check.name,
            );
            for line in check.hint.iter().flat_map(|hint| hint.lines()) {
                text += &format!("{indent}{} {line}\n", paint(color, Color::Bold, "hint:"));
            }
        }
        text += &format!("\n{}\n", self.summary());
        text
    }

    fn summary(&self) -> String {
        let count = |verdict| {
            self.checks
                .iter()
                .filter(|check| check.verdict == verdict)
                .count()
        };
        let noun = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {one}s"),
        };
        match (count(Verdict::Fail), count(Verdict::Warn)) {
            (0, 0) => "This host can build.".to_owned(),
            (0, warnings) => format!("This host can build, with {}.", noun(warnings, "warning")),
            (failures, warnings) => format!(
                "This host cannot build: {}, {}.",
                noun(failures, "failure"),
                noun(warnings, "warning")
            ),
        }
    }

    /// 0 where the host can build, 4 where it lacks something, 3 where only settings are at fault.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let mut failed = self
            .checks
            .iter()
            .filter(|check| check.verdict == Verdict::Fail)
            .peekable();
        if failed.peek().is_none() {
            0
        } else if failed.all(|check| check.name == "settings") {
            3
        } else {
            4
        }
    }
}

#[cfg(test)]
mod tests;
