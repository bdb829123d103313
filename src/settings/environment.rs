//! A snapshot of the process environment. No other file reads the environment.
//!
//! All other code gets an [`Environment`], so that tests can pass their own, and programs get the
//! same variables that were recorded.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

/// The variable with the directory that replaces `/` when `/proc` and `/sys` are read, for tests.
pub(crate) const SYSTEM_ROOT: &str = "ISAR_BUILD_ALL_SYSTEM_ROOT";

/// Environment variables, the home directory, and the directory of the user's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    home: Option<PathBuf>,
    config_dir: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process. The directories are those of the XDG Base Directory
    /// Specification.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn capture() -> Self {
        let directories = etcetera::base_strategy::Xdg::new().ok();
        Self {
            variables: std::env::vars_os().collect(),
            home: directories.as_ref().map(|xdg| xdg.home_dir().to_path_buf()),
            config_dir: directories.as_ref().map(BaseStrategy::config_dir),
        }
    }

    /// An environment with the given variables, `home` as the home directory and `home/.config` for
    /// configuration.
    pub fn new<K, V>(home: &Path, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            home: Some(home.to_path_buf()),
            config_dir: Some(home.join(".config")),
        }
    }

    /// A variable that is set and not empty. An empty variable counts as unset, as in kas-container.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// As [`Self::get`], but a value that is not UTF-8 counts as unset, too.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// The directory that contains `proc` and `sys`: `/`, except in tests.
    #[must_use]
    pub fn system_root(&self) -> PathBuf {
        self.get(SYSTEM_ROOT)
            .map_or_else(|| PathBuf::from("/"), PathBuf::from)
    }

    /// All variables, empty ones included, for a program that is started.
    pub fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// `PATH`.
    #[must_use]
    pub fn path(&self) -> Option<&OsStr> {
        self.get("PATH")
    }

    /// The home directory, if there is one.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The path of the user's settings file, whether it exists or not.
    #[must_use]
    pub fn user_file(&self) -> Option<PathBuf> {
        self.config_dir
            .as_ref()
            .map(|dir| dir.join("isar-build-all").join("config.toml"))
    }
}
