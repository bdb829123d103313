//! Finds and probes the programs that we run: kas-container, docker or podman, kas, Nix.
//!
//! Asks each what it is and whether it works, once, with a time limit. Knows nothing of the matrix.
//! Programs are looked up in, and run with, the environment that is passed in.

mod docker;
mod engine;
mod error;
mod host;
mod kas;
mod kas_container;
mod nix;
mod podman;
mod probe;
mod refusal;
mod sudo;
mod survey;
mod version;

pub use engine::{Candidate, Engine, EngineKind};
pub use error::{EXIT_CODE, ToolError};
pub use host::{Host, file_system, free_space};
pub use kas::Kas;
pub use kas_container::KasContainer;
pub use nix::{Nix, NixAccess, NoNix};
pub use probe::{LIMIT, ProbeError};
pub use refusal::EngineRefusal;
pub use survey::{Found, Program, Survey};
pub use version::Version;

use probe::Prober;

use crate::settings::{Environment, Executor, Settings, StoreChoice};

/// Something that does not stop us, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Note {
    /// What there is to know.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// What runs kas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// kas-container, and the engine below it.
    Container {
        /// kas-container.
        kas_container: KasContainer,
        /// docker or podman.
        engine: Box<Engine>,
    },
    /// kas itself, inside a kas-isar image.
    Kas(Kas),
}

impl Runner {
    /// The engine below, where there is one.
    #[must_use]
    pub fn engine(&self) -> Option<&Engine> {
        match self {
            Runner::Container { engine, .. } => Some(engine),
            Runner::Kas(_) => None,
        }
    }
}

/// Where artifacts are registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// The Nix store.
    Nix(Nix),
    /// Our own.
    Local {
        /// Why not Nix; none where the settings ask for the local one.
        instead_of: Option<NoNix>,
    },
}

/// Everything that a build needs of the host, found and probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The host.
    pub host: Host,
    /// What runs kas.
    pub runner: Runner,
    /// Where artifacts are registered.
    pub store: Store,
}

impl Toolchain {
    /// Finds and probes what these settings need. Takes seconds at most, each probe has a limit.
    ///
    /// # Errors
    /// The first that makes building impossible.
    pub fn probe(settings: &Settings, environment: &Environment) -> Result<Self, ToolError> {
        Self::probe_on(Host::capture(environment), settings, environment)
    }

    /// As [`Self::probe`], on a host that is already known.
    ///
    /// # Errors
    /// The same.
    pub fn probe_on(
        host: Host,
        settings: &Settings,
        environment: &Environment,
    ) -> Result<Self, ToolError> {
        host.refuse_root()?;
        let prober = Prober::new(environment);
        let runner = match settings.executor.value {
            Executor::Kas => Runner::Kas(Kas::probe(settings, prober)?),
            Executor::KasContainer => Runner::Container {
                kas_container: KasContainer::probe(settings, prober)?,
                engine: Box::new(Engine::probe(settings, prober, &host)?),
            },
        };
        let store = Store::probe(settings, environment)?;
        Ok(Self {
            host,
            runner,
            store,
        })
    }

    /// What the user should know of the engine although nothing stops the build.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        if let Runner::Container { engine, .. } = &self.runner {
            let chosen = format!("set `engine = \"{}\"`", engine.kind);
            notes.extend(engine.passed_over.iter().map(|refusal| {
                let hint = refusal.hint();
                Note {
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

impl Store {
    /// The kind: `nix` or `local`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Store::Nix(_) => "nix",
            Store::Local { .. } => "local",
        }
    }

    /// Finds the store that the settings ask for. Needs neither an engine nor a user other than root, so
    /// that what was built can be registered without them.
    ///
    /// # Errors
    /// [`ToolError::NoNix`] where Nix is asked for and cannot be used.
    pub fn probe(settings: &Settings, environment: &Environment) -> Result<Self, ToolError> {
        let found = match settings.store.value {
            StoreChoice::Local => return Ok(Store::Local { instead_of: None }),
            StoreChoice::Auto | StoreChoice::Nix => Nix::probe(Prober::new(environment)),
        };
        match (found, settings.store.value) {
            (Ok(nix), _) => Ok(Store::Nix(nix)),
            (Err(why), StoreChoice::Nix) => Err(ToolError::NoNix(why)),
            (Err(why), _) => Ok(Store::Local {
                instead_of: Some(why),
            }),
        }
    }

    /// That the local store stands in for Nix's although nobody asked for it.
    #[must_use]
    pub fn note(&self) -> Option<Note> {
        let Store::Local {
            instead_of: Some(why),
        } = self
        else {
            return None;
        };
        let meant = "where that is meant, set `store = \"local\"`";
        Some(Note {
            message: format!("artifacts go to the local store, because {why}"),
            hint: why
                .hint()
                .map_or_else(|| meant.to_owned(), |hint| format!("{hint}; {meant}")),
        })
    }
}

/// The words that make a program run as root without asking, as kas-container would have it.
///
/// # Errors
/// Why there are none, as the end of a sentence.
pub fn elevation(environment: &Environment) -> Result<Vec<String>, String> {
    sudo::Elevation::probe(Prober::new(environment))
        .map(|elevation| elevation.prefix)
        .map_err(|refusal| refusal.to_string())
}

#[cfg(test)]
pub(crate) mod tests;
