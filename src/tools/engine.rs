//! Chooses the container engine, and records why the other one is not used.
//!
//! kas-container itself takes the first of docker and podman that is installed, working or not.
//! This module probes both and passes the choice on in `KAS_CONTAINER_ENGINE`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::host::identity::Host;
use crate::settings::{EngineChoice, Environment, IsarMode, Settings};
use crate::tools::error::ToolError;
use crate::tools::probe::{ProbeError, Prober};
use crate::tools::refusal::EngineRefusal;
use crate::tools::sudo::Elevation;
use crate::tools::version::Version;
use crate::tools::{ToolNote, docker, podman};

/// Docker or podman.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl EngineKind {
    /// The program's name, and its value of `KAS_CONTAINER_ENGINE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            EngineKind::Docker => "docker",
            EngineKind::Podman => "podman",
        }
    }
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A container engine that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Docker or podman.
    pub kind: EngineKind,
    /// The program's absolute path in PATH. sudo may find another program of this name.
    pub program: PathBuf,
    /// The program's version.
    pub version: Version,
    /// The beginning of every engine command: the program, with sudo before it where containers are
    /// root's. A subcommand follows: `stop`, `ps`, `rm`.
    pub prefix: Vec<String>,
    /// Environment variables for kas-container and for engine commands.
    pub environment: Vec<(String, String)>,
    /// Engines that would have been preferred and cannot be used. They are reported, because the
    /// user may have meant them.
    pub passed_over: Vec<EngineRefusal>,
    /// Problems that will show later.
    pub notes: Vec<ToolNote>,
}

/// The result of probing an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineCandidate {
    /// It is not in PATH.
    Absent,
    /// It is installed and cannot be used.
    Refused(EngineRefusal),
    /// It works.
    Usable(Box<Engine>),
}

/// Input for probing an engine.
#[derive(Clone, Copy)]
pub(crate) struct EngineQuery<'a> {
    pub(crate) prober: Prober<'a>,
    pub(crate) host: &'a Host,
    pub(crate) mode: IsarMode,
}

impl EngineQuery<'_> {
    pub(crate) fn candidate(&self, kind: EngineKind) -> EngineCandidate {
        let Some(program) = self.prober.find(kind.as_str()) else {
            return EngineCandidate::Absent;
        };
        let engine = match kind {
            EngineKind::Docker => docker::probe(self, &program),
            EngineKind::Podman => podman::probe(self, &program),
        };
        match engine {
            Ok(engine) => EngineCandidate::Usable(Box::new(engine)),
            Err(refusal) => EngineCandidate::Refused(refusal),
        }
    }

    /// The engine with its prefix and environment.
    pub(crate) fn engine(
        &self,
        kind: EngineKind,
        program: &Path,
        version: Version,
        elevation: Option<Elevation>,
    ) -> Engine {
        let mut environment = vec![("KAS_CONTAINER_ENGINE".to_owned(), kind.as_str().to_owned())];
        let prefix = match elevation {
            None => vec![program.display().to_string()],
            Some(Elevation { word, mut prefix }) => {
                environment.push(("KAS_SUDO_CMD".to_owned(), word.to_owned()));
                // By name, as kas-container does: sudo looks the program up in root's PATH.
                prefix.push(kind.as_str().to_owned());
                prefix
            }
        };
        Engine {
            kind,
            program: program.to_path_buf(),
            version,
            prefix,
            environment,
            passed_over: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Engine {
    /// The engine that the settings name, else the first one that works.
    pub(crate) fn probe(
        settings: &Settings,
        prober: Prober<'_>,
        host: &Host,
    ) -> Result<Self, ToolError> {
        let mode = settings.isar_mode.value;
        let question = EngineQuery { prober, host, mode };
        Self::choose(settings.engine.value, mode, |kind| question.candidate(kind))
    }

    /// The engine that a build would use, for callers that only manage containers.
    ///
    /// # Errors
    /// When no engine can be used.
    pub fn find(
        settings: &Settings,
        environment: &Environment,
        host: &Host,
    ) -> Result<Self, ToolError> {
        Self::probe(settings, Prober::new(environment), host)
    }

    /// The names of all containers with a label (`NAME=VALUE`), running or not.
    ///
    /// # Errors
    /// When the engine fails or does not answer.
    pub fn containers(
        &self,
        environment: &Environment,
        label: &str,
    ) -> Result<Vec<String>, ProbeError> {
        let filter = format!("label={label}");
        let question = ["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"];
        let mut words: Vec<&str> = self.prefix.iter().map(String::as_str).collect();
        words.extend(question);
        let program = Path::new(words.remove(0));
        let program = Prober::new(environment)
            .find(program)
            .unwrap_or_else(|| program.to_owned());
        let answer = Prober::new(environment).ask(&program, &words)?;
        if !answer.ok {
            return Err(ProbeError::NotRun {
                command: words.join(" "),
                reason: answer.complaint(),
            });
        }
        let names = answer.stdout.lines().map(str::trim);
        Ok(names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// The id of a local image, which changes with its content; none where there is no such image,
    /// or the engine does not answer.
    #[must_use]
    pub fn image_id(&self, environment: &Environment, image: &str) -> Option<String> {
        let question = ["image", "inspect", "--format", "{{.Id}}", image];
        let mut words: Vec<&str> = self.prefix.iter().map(String::as_str).collect();
        words.extend(question);
        let prober = Prober::new(environment);
        let program = Path::new(words.remove(0));
        let program = prober.find(program)?;
        let answer = prober.ask(&program, &words).ok()?;
        let id = answer.first_line();
        (answer.ok && !id.is_empty()).then(|| id.to_owned())
    }

    pub(crate) fn choose(
        choice: EngineChoice,
        mode: IsarMode,
        candidate: impl Fn(EngineKind) -> EngineCandidate,
    ) -> Result<Self, ToolError> {
        let asked_for = |kind: EngineKind| match candidate(kind) {
            EngineCandidate::Absent => Err(ToolError::EngineNotFound {
                name: kind.as_str(),
            }),
            EngineCandidate::Refused(refusal) => Err(ToolError::EngineRefused(vec![refusal])),
            EngineCandidate::Usable(engine) => Ok(*engine),
        };
        let order = match (choice, mode) {
            (EngineChoice::Docker, _) => return asked_for(EngineKind::Docker),
            (EngineChoice::Podman, _) => return asked_for(EngineKind::Podman),
            // kas-container's own order.
            (EngineChoice::Auto, IsarMode::Privileged) => [EngineKind::Docker, EngineKind::Podman],
            (EngineChoice::Auto, IsarMode::Rootless) => [EngineKind::Podman, EngineKind::Docker],
        };
        let mut refusals = Vec::new();
        for kind in order {
            match candidate(kind) {
                EngineCandidate::Absent => {}
                EngineCandidate::Refused(refusal) => refusals.push(refusal),
                EngineCandidate::Usable(mut engine) => {
                    // `docker` as a link to podman is a convenience; it is not worth a warning.
                    refusals
                        .retain(|refusal| !matches!(refusal, EngineRefusal::DockerIsPodman { .. }));
                    engine.passed_over = refusals;
                    return Ok(*engine);
                }
            }
        }
        Err(if refusals.is_empty() {
            ToolError::NoEngine
        } else {
            ToolError::EngineRefused(refusals)
        })
    }
}
