//! Chooses the store of a run: the one that the settings name, or the first that this host can use.

#[cfg(test)]
mod tests;

use crate::settings::{Environment, Settings, StoreChoice, StoreWord};
use crate::store::Store;
use crate::store::backend::{Backend, FoundStore, NoStore, OpenedStore, StoreRun};
use crate::store::error::StoreError;
use crate::store::place::StorePlace;
use crate::tools::ToolNote;

/// The store of a run.
#[derive(Debug)]
pub struct ChosenStore {
    backend: &'static dyn Backend,
    found: Box<dyn FoundStore>,
    /// Why the first backend that `auto` tried is not used.
    passed_over: Option<NoStore>,
}

/// No store can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreChoiceError {
    /// The settings name a store that this host cannot use.
    #[error("the settings ask for {title}, and {}", .no.why)]
    Unusable {
        /// The title of the store.
        title: &'static str,
        /// Why.
        no: NoStore,
    },
    /// No backend has the name that the settings give, or none works for `auto`.
    #[error("there is no store for `store = \"{0}\"`")]
    Unknown(String),
}

impl StoreChoiceError {
    /// A remedy, as a command where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            StoreChoiceError::Unusable { no, .. } => Some(no.remedy.clone()),
            StoreChoiceError::Unknown(_) => None,
        }
    }
}

impl ChosenStore {
    /// Finds the store that the settings ask for. Works without an engine and as root, so that artifacts can be registered
    /// where they cannot be built.
    ///
    /// # Errors
    /// See [`StoreChoiceError`].
    pub fn choose(
        backends: &[&'static dyn Backend],
        settings: &Settings,
        environment: &Environment,
    ) -> Result<ChosenStore, StoreChoiceError> {
        let choice = &settings.store.value;
        let unknown = || StoreChoiceError::Unknown(choice.as_str().to_owned());
        if let StoreChoice::Named(name) = choice {
            let backend = backend(backends, name).ok_or_else(unknown)?;
            let unusable = |no| StoreChoiceError::Unusable {
                title: backend.title(),
                no,
            };
            return Ok(ChosenStore {
                backend,
                found: backend.find(environment).map_err(unusable)?,
                passed_over: None,
            });
        }
        let mut passed_over = None;
        for &backend in backends.iter().filter(|one| one.is_automatic()) {
            match backend.find(environment) {
                Ok(found) => {
                    return Ok(ChosenStore {
                        backend,
                        found,
                        passed_over,
                    });
                }
                Err(no) => {
                    passed_over.get_or_insert(no);
                }
            }
        }
        Err(unknown())
    }

    /// The name of its backend.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.backend.word().name
    }

    /// Opens it for one run.
    #[must_use]
    pub fn open(&self, run: &StoreRun<'_>) -> OpenedStore {
        self.found.open(run)
    }

    /// A warning if `auto` chose this store because an earlier one cannot be used.
    #[must_use]
    pub fn note(&self) -> Option<ToolNote> {
        let no = self.passed_over.as_ref()?;
        let meant = format!("if that is intended, set `store = \"{}\"`", self.kind());
        Some(ToolNote {
            message: format!(
                "artifacts go to {}, because {}",
                self.backend.title(),
                no.why
            ),
            hint: no
                .hint
                .as_ref()
                .map_or_else(|| meant.clone(), |hint| format!("{hint}; {meant}")),
        })
    }
}

/// The backend with this name.
#[must_use]
pub fn backend(backends: &[&'static dyn Backend], name: &str) -> Option<&'static dyn Backend> {
    backends.iter().copied().find(|one| one.word().name == name)
}

/// The words that the setting `store` accepts for these backends.
#[must_use]
pub fn words(backends: &[&'static dyn Backend]) -> Vec<StoreWord> {
    backends.iter().map(|one| one.word()).collect()
}

/// Opens the store of a journal entry.
///
/// # Errors
/// [`StoreError::Place`] when no backend has its name, or a field is missing.
pub fn reopen(backends: &[&'static dyn Backend], place: &StorePlace) -> Result<Store, StoreError> {
    backend(backends, &place.kind)
        .ok_or_else(|| StoreError::Place(place.kind.clone()))?
        .reopen(place)
}
