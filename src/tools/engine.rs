//! Which container engine is used, and why the others are not.
//!
//! kas-container decides between docker and podman by which is there; this asks each whether it works,
//! and the answer is passed on (`KAS_CONTAINER_ENGINE`), so that both agree. Knows nothing of images.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::ToolError;
use super::host::Host;
use super::probe::{ProbeError, Prober};
use super::refusal::EngineRefusal;
use super::sudo::Elevation;
use super::version::Version;
use super::{Note, docker, podman};
use crate::settings::{EngineChoice, Environment, IsarMode, Settings};

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
    /// The program's name, which is also the word of `KAS_CONTAINER_ENGINE`.
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

/// A container engine that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Which.
    pub kind: EngineKind,
    /// The absolute path of the program in PATH. Behind sudo, sudo may find another.
    pub program: PathBuf,
    /// The program's version.
    pub version: Version,
    /// The words with which the containers of this mode are controlled: the program alone, or with
    /// sudo before it. A subcommand follows: `stop`, `ps`, `rm`.
    pub prefix: Vec<String>,
    /// Variables with which kas-container, and the words of `prefix`, are to be run.
    pub environment: Vec<(String, String)>,
    /// Engines that come first and cannot be used. Worth a line, because one might have meant them.
    pub passed_over: Vec<EngineRefusal>,
    /// What will go wrong later, or differently than one might think.
    pub notes: Vec<Note>,
}

/// What is known of an engine that may be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidate {
    /// It is not in PATH.
    Absent,
    /// It is there, and cannot be used.
    Refused(EngineRefusal),
    /// It answered.
    Usable(Box<Engine>),
}

/// What an engine is asked with.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) prober: Prober<'a>,
    pub(crate) host: &'a Host,
    pub(crate) mode: IsarMode,
}

impl Question<'_> {
    pub(crate) fn candidate(&self, kind: EngineKind) -> Candidate {
        let Some(program) = self.prober.find(kind.as_str()) else {
            return Candidate::Absent;
        };
        let engine = match kind {
            EngineKind::Docker => docker::probe(self, &program),
            EngineKind::Podman => podman::probe(self, &program),
        };
        match engine {
            Ok(engine) => Candidate::Usable(Box::new(engine)),
            Err(refusal) => Candidate::Refused(refusal),
        }
    }

    /// The engine, with its usual environment.
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
                // By name, as kas-container does: the path of root's engine is sudo's to find.
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
    /// The engine to use: the one that the settings ask for, else the first that works.
    pub(crate) fn probe(
        settings: &Settings,
        prober: Prober<'_>,
        host: &Host,
    ) -> Result<Self, ToolError> {
        let mode = settings.isar_mode.value;
        let question = Question { prober, host, mode };
        Self::choose(settings.engine.value, mode, |kind| question.candidate(kind))
    }

    /// As a build would find it, for those who only look after containers.
    ///
    /// # Errors
    /// When none can be used.
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
    /// When the engine does not answer.
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

    /// The id of an image that the engine has, which changes with its content; none where it has no such
    /// image, or does not answer.
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
        candidate: impl Fn(EngineKind) -> Candidate,
    ) -> Result<Self, ToolError> {
        let asked_for = |kind: EngineKind| match candidate(kind) {
            Candidate::Absent => Err(ToolError::EngineNotFound {
                name: kind.as_str(),
            }),
            Candidate::Refused(refusal) => Err(ToolError::EngineRefused(vec![refusal])),
            Candidate::Usable(engine) => Ok(*engine),
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
                Candidate::Absent => {}
                Candidate::Refused(refusal) => refusals.push(refusal),
                Candidate::Usable(mut engine) => {
                    // podman under docker's name is a convenience, and nobody meant Docker by it.
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
