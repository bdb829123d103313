//! The inputs of the settings' defaults.

use std::path::{Path, PathBuf};

use crate::settings::environment::Environment;
use crate::settings::kinds::Age;
use crate::settings::surroundings::Ci;

/// The project and the environment, as far as defaults depend on them.
pub(crate) struct DefaultContext<'a> {
    /// The directory of variants.toml, absolute.
    pub(crate) project_dir: &'a Path,
    pub(crate) environment: &'a Environment,
}

impl DefaultContext<'_> {
    /// The directory of the caches: in the home directory, or beside variants.toml if there is none.
    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.environment
            .home()
            .unwrap_or(self.project_dir)
            .join(".cache/yocto")
    }

    /// The maximum age of builds with unpinned inputs: a day, but none in CI, where no user knows
    /// whether the inputs have changed.
    pub(crate) fn max_age(&self) -> Age {
        match Ci::detect(self.environment) {
            Ci::None => Age::Seconds(24 * 60 * 60),
            Ci::Github | Ci::Gitlab | Ci::Other => Age::Seconds(0),
        }
    }
}
