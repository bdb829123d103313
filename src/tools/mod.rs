//! Finds and probes the tools of a build: kas-container, Docker or podman, kas, Nix.
//!
//! Each probe runs once, has a time limit, and checks the identity of the tool and whether it works. Tools are
//! looked up in, and run with, the environment that the caller passes in. [`container`] has the engine's
//! commands for one container.

pub mod container;
mod docker;
mod engine;
pub mod error;
mod kas;
mod kas_container;
mod kas_schema;
mod nix;
mod podman;
mod probe;
mod refusal;
mod sudo;
mod survey;
#[cfg(test)]
pub(crate) mod tests;
mod version;

pub use crate::tools::engine::{Engine, EngineCandidate, EngineKind};
pub use crate::tools::error::{EXIT_CODE, ToolError};
pub use crate::tools::kas::Kas;
pub use crate::tools::kas_container::KasContainer;
pub use crate::tools::kas_schema::{FoundKasSchema, KasOfSchema};
pub use crate::tools::nix::{Nix, NixAccess, NoNix};
pub use crate::tools::probe::{LIMIT, ProbeError};
pub use crate::tools::refusal::EngineRefusal;
pub use crate::tools::survey::{FoundEngine, FoundProgram, Survey};
pub use crate::tools::version::Version;

use crate::host::identity::Host;
use crate::tools::probe::Prober;

use crate::settings::{Environment, ExecutorChoice, Settings};

/// A warning about a tool that does not prevent builds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ToolNote {
    /// The warning.
    pub message: String,
    /// A remedy, as a command where there is one.
    pub hint: String,
}

/// The program that runs builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// kas-container with an engine.
    Container {
        /// kas-container.
        kas_container: KasContainer,
        /// Docker or podman.
        engine: Box<Engine>,
    },
    /// kas itself, inside a kas-isar image.
    Kas(Kas),
}

impl Runner {
    /// Finds and probes the program that runs builds.
    ///
    /// # Errors
    /// The first fault that makes building impossible.
    pub fn probe(
        settings: &Settings,
        environment: &Environment,
        host: &Host,
    ) -> Result<Runner, ToolError> {
        let prober = Prober::new(environment);
        Ok(match settings.executor.value {
            ExecutorChoice::Kas => Runner::Kas(Kas::probe(settings, prober)?),
            ExecutorChoice::KasContainer => Runner::Container {
                kas_container: KasContainer::probe(settings, prober)?,
                engine: Box::new(Engine::probe(settings, prober, host)?),
            },
        })
    }

    /// The engine; none for kas itself.
    #[must_use]
    pub fn engine(&self) -> Option<&Engine> {
        match self {
            Runner::Container { engine, .. } => Some(engine),
            Runner::Kas(_) => None,
        }
    }
}

/// The host and the tools that run builds, probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The host.
    pub host: Host,
    /// The program that runs builds.
    pub runner: Runner,
}

impl Toolchain {
    /// Finds and probes the tools that the settings need. Takes seconds at most; each probe has a
    /// limit.
    ///
    /// # Errors
    /// The first fault that makes building impossible.
    pub fn probe(settings: &Settings, environment: &Environment) -> Result<Self, ToolError> {
        Self::probe_on(Host::capture(environment), settings, environment)
    }

    /// [`Self::probe`] for a host that is known already.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub fn probe_on(
        host: Host,
        settings: &Settings,
        environment: &Environment,
    ) -> Result<Self, ToolError> {
        host.refuse_root()?;
        let runner = Runner::probe(settings, environment, &host)?;
        Ok(Self { host, runner })
    }

    /// Warnings about the engine.
    #[must_use]
    pub fn notes(&self) -> Vec<ToolNote> {
        let mut notes = Vec::new();
        if let Runner::Container { engine, .. } = &self.runner {
            let chosen = format!("set `engine = \"{}\"`", engine.kind);
            notes.extend(engine.passed_over.iter().map(|refusal| {
                let hint = refusal.hint();
                ToolNote {
                    message: format!("{} is used, because {refusal}", engine.kind),
                    hint: if hint.contains(&chosen) {
                        hint
                    } else {
                        format!("{hint}; or, if {} is meant, {chosen}", engine.kind)
                    },
                }
            }));
            notes.extend(engine.notes.iter().cloned());
        }
        notes
    }
}

/// The words before a command that make it run as root without a prompt, chosen as kas-container
/// does.
///
/// # Errors
/// The reason why there are none, as the end of a sentence.
pub fn elevation(environment: &Environment) -> Result<Vec<String>, String> {
    sudo::Elevation::probe(Prober::new(environment))
        .map(|elevation| elevation.prefix)
        .map_err(|refusal| refusal.to_string())
}
