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

use crate::settings::{Environment, ExecutorChoice, Settings, StoreChoice};

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

/// The store that artifacts are registered in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundStore {
    /// The Nix store.
    Nix(Nix),
    /// The local store.
    Local {
        /// Why it is not the Nix store; none where the settings ask for the local one.
        instead_of: Option<NoNix>,
    },
}

/// The host and all tools that a build needs, probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The host.
    pub host: Host,
    /// The program that runs builds.
    pub runner: Runner,
    /// The store that artifacts are registered in.
    pub store: FoundStore,
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
        let store = FoundStore::probe(settings, environment)?;
        Ok(Self {
            host,
            runner,
            store,
        })
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

impl FoundStore {
    /// The kind: `nix` or `local`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            FoundStore::Nix(_) => "nix",
            FoundStore::Local { .. } => "local",
        }
    }

    /// Finds the store that the settings ask for. Works without an engine and as root, so that
    /// artifacts can be registered where they cannot be built.
    ///
    /// # Errors
    /// [`ToolError::NoNix`] when the settings name Nix and it cannot be used.
    pub fn probe(settings: &Settings, environment: &Environment) -> Result<Self, ToolError> {
        let found = match settings.store.value {
            StoreChoice::Local => return Ok(FoundStore::Local { instead_of: None }),
            StoreChoice::Auto | StoreChoice::Nix => Nix::probe(Prober::new(environment)),
        };
        match (found, settings.store.value) {
            (Ok(nix), _) => Ok(FoundStore::Nix(nix)),
            (Err(why), StoreChoice::Nix) => Err(ToolError::NoNix(why)),
            (Err(why), _) => Ok(FoundStore::Local {
                instead_of: Some(why),
            }),
        }
    }

    /// A warning if the local store replaces the Nix store and the settings do not name it.
    #[must_use]
    pub fn note(&self) -> Option<ToolNote> {
        let FoundStore::Local {
            instead_of: Some(why),
        } = self
        else {
            return None;
        };
        let meant = "if that is intended, set `store = \"local\"`";
        Some(ToolNote {
            message: format!("artifacts go to the local store, because {why}"),
            hint: why
                .hint()
                .map_or_else(|| meant.to_owned(), |hint| format!("{hint}; {meant}")),
        })
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
